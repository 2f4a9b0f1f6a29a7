"""Who calls the API, and with what: address, API key, agent name, key pairs, patience."""

from __future__ import annotations

import ipaddress
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from receiver.client.key_cache import KeyCache
from receiver.client.retries import Retries
from receiver.errors import AuthenticationFailed, ValidationFailed
from receiver.keyring import API_KEY, KeyPair, Keyring

DEFAULT_BASE_URL: Final = "https://api.hi-loop.com"
_AGENT_NAME: Final = re.compile(r"[!-~]([ -~]{0,126}[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """One agent's way to the API; those made by `acting_as` share keys and caches.

    ``timeout`` is in seconds. ``clock`` is monotonic, ``now`` tells the time of day, ``random`` is for
    jitter.
    """

    name: str
    base_url: str
    api_key: str = field(repr=False)
    all_keys: Keyring
    timeout: float
    retries: Retries
    key_cache: KeyCache = field(default_factory=KeyCache, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    random: Callable[[], float] = field(default=random.random, repr=False)

    @property
    def keyring(self) -> Keyring:
        """The keys that this agent seals and opens with."""
        return self.all_keys.of_agent(self.name)

    @classmethod
    def configure(
        cls,
        api_key: str | None,
        agent_name: str,
        *,
        base_url: str | None,
        agent_keys: Iterable[KeyPair | str] | None,
        timeout: float,
        retries: Retries,
        environ: Mapping[str, str] = os.environ,
    ) -> Caller:
        """Check the arguments, and take from the environment what is None.

        Raises `AuthenticationFailed` for an API key that cannot be right, `ValidationFailed` for anything
        else.
        """
        key = check_api_key(environ.get("HILOOP_API_KEY", "") if api_key is None else api_key)
        if agent_keys is None:
            agent_keys = [key.strip() for key in environ.get("HILOOP_AGENT_KEYS", "").split(",") if key.strip()]
        if not timeout > 0:
            raise ValidationFailed("timeout must be a number of seconds above 0")
        return cls(
            name=check_agent_name(agent_name),
            base_url=check_base_url(environ.get("HILOOP_BASE_URL", DEFAULT_BASE_URL) if base_url is None else base_url),
            api_key=key,
            all_keys=_keyring(key, agent_keys),
            timeout=float(timeout),
            retries=retries,
        )

    def acting_as(self, agent_name: str) -> Caller:
        """The same caller under another agent's name. Raises `ValidationFailed` for what is no name."""
        return replace(self, name=check_agent_name(agent_name))


def check_api_key(api_key: str) -> str:
    """Return ``api_key`` if it can be an agent's. Raises `AuthenticationFailed` with the reason."""
    if api_key == "":
        raise AuthenticationFailed("there is no API key", hint="pass api_key or set HILOOP_API_KEY")
    if api_key.startswith("hlp_prov_"):
        raise AuthenticationFailed(
            "this is a provisioning key: it creates agents and cannot act as one",
            hint="use the agent's own key, hlp_ and 64 hex digits",
        )
    if not API_KEY.fullmatch(api_key):
        raise AuthenticationFailed(
            "the API key is malformed: it is hlp_ and 64 lower-case hex digits",
            hint="copy the key once more, whole",
        )
    return api_key


def check_agent_name(agent_name: str) -> str:
    """Return ``agent_name`` if a header can carry it. Raises `ValidationFailed`."""
    if not _AGENT_NAME.fullmatch(agent_name):
        raise ValidationFailed("agent_name must have 1 to 128 printable ASCII characters, and no space around them")
    return agent_name


def check_base_url(base_url: str) -> str:
    """Return ``base_url`` without `/v1` at its end. Raises `ValidationFailed` if not https or loopback."""
    try:
        parts = urlsplit(base_url)
        host, has_extras = (
            parts.hostname,
            bool(parts.username or parts.password or parts.query or parts.fragment),
        )
        parts.port  # noqa: B018  # reading it is how urlsplit checks it
    except ValueError:
        raise ValidationFailed("base_url is not a URL") from None
    if not host or parts.scheme not in ("http", "https") or has_extras or not base_url.isprintable():
        raise ValidationFailed("base_url is not an address like https://api.hi-loop.com")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValidationFailed(
            "base_url must be https: the API key travels with every call",
            hint="only loopback addresses may be http",
        )
    return base_url.rstrip("/").removesuffix("/v1")


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keyring(api_key: str, agent_keys: Iterable[KeyPair | str]) -> Keyring:
    try:
        pairs = [KeyPair.from_base64(key) if isinstance(key, str) else key for key in agent_keys]
    except ValueError as problem:
        raise ValidationFailed(f"agent_keys: {problem}") from None
    # Explicit keys come first and seal; what was sealed for the derived one before stays readable.
    return Keyring([*pairs, KeyPair.from_api_key(api_key)])
