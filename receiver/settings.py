"""Settings from the environment; every wrong one is named at once, with how to mend it.

Read once at start and never changed. Secrets show in no repr. The web process and the worker have a class each,
so that the web process cannot even hold an agent's key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from receiver.alerting import Alerting
from receiver.durability import Durability
from receiver.errors import ConfigurationError
from receiver.keeping import Keeping
from receiver.layout import Layout
from receiver.lines import FORMATS
from receiver.logs import parse_level
from receiver.senders import TrustedSenders
from receiver.sentinels import SENTINEL_SCHEMES, SentinelAddress

_Value = TypeVar("_Value")
_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.ASCII)
_SIZES: Final = {"": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_SIZE: Final = re.compile(r"([0-9]{1,12})(kb|mb|gb|)", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_MODULE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
MIN_SECRET_CHARS: Final = 8
# Tokens of people are tried by strangers on a page.
MIN_DASHBOARD_TOKEN_CHARS: Final = 16


def duration(text: str) -> float:
    """Seconds of a duration like ``90``, ``500ms``, ``30s``, ``5m``, ``2h``, ``7d``. Raises `ValueError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("is no duration; write it like 500ms, 30s, 5m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


class Environment:
    """Reads single settings from a mapping and collects what is wrong with them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.problems: list[str] = []

    def get(self, name: str, default: _Value, parse: Callable[[str], _Value]) -> _Value:
        """The parsed setting, or ``default`` where it is not set or wrong. ``parse`` raises `ValueError`."""
        text = self._values.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default

    def require(self, name: str, default: _Value, parse: Callable[[str], _Value], mend: str) -> _Value:
        """As `get`, for a setting that must be there; ``mend`` says how to set it."""
        if not self._values.get(name, "").strip():
            self.problems.append(f"{name} is not set; {mend}")
            return default
        return self.get(name, default, parse)

    def done(self) -> None:
        """Raise `ConfigurationError` if anything was wrong."""
        if self.problems:
            raise ConfigurationError(self.problems)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What both sides need to know: where Redis is, and how the queue is laid out.

    ``redis_url``: ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://``. ``redis_verify_tls``: whether the
    certificate of a server that speaks TLS must be genuine. ``webhook_secrets``: HMAC secrets, each accepted.
    ``log_format``: text or json. Times are in seconds.
    """

    redis_url: str = field(repr=False, default="redis://127.0.0.1:6379/0")
    redis_verify_tls: bool = True
    queue: str = "hiloop"
    webhook_secrets: tuple[bytes, ...] = field(repr=False, default=())
    log_level: int = logging.INFO
    log_format: str = "text"

    @property
    def layout(self) -> Layout:
        """The names of this queue's keys."""
        return Layout(self.queue)

    @classmethod
    def from_environment(cls, values: Mapping[str, str]) -> Self:
        """Read the settings that lead to the queue. Raises `ConfigurationError` that names every wrong one."""
        env = Environment(values)
        settings = cls(**_connection_settings(env))
        env.done()
        return settings


@dataclass(frozen=True, slots=True)
class WebSettings(QueueSettings):
    """Settings of the web process.

    ``port``, ``host``: where it listens. ``processes``: how many web processes. ``webhook_tokens``: bearer tokens,
    each accepted. ``metrics_tokens``: those who have one may read `/metrics`; without any there is no such page.
    ``max_body``, ``max_headers``: bytes of one request; ``max_bodies``: bytes of all bodies on their way.
    ``body_timeout``, ``header_timeout``: seconds they may take to arrive. ``max_connections``, ``max_requests``:
    how many at once, in each process. ``max_pending``: events that may wait for a worker. ``proxies``: routers in
    front that add to `X-Forwarded-For`, None if that is not known. ``max_refusals``: requests a minute that may be
    refused before their sender is turned away. ``dedup_window``: seconds an event id is remembered. ``ordered``:
    whether events of one session wait for each other. ``durability``: where an event is before it is acknowledged.
    ``dashboard_tokens``, ``dashboard_read_tokens``: what opens the dashboard, the latter without the right to order
    anything; without any there is no dashboard.
    """

    host: str = "0.0.0.0"  # noqa: S104  # platforms route to the container's address
    port: int = 8000
    processes: int = 1
    webhook_tokens: tuple[bytes, ...] = field(repr=False, default=())
    metrics_tokens: tuple[bytes, ...] = field(repr=False, default=())
    max_body: int = 1024 * 1024
    body_timeout: float = 10.0
    max_headers: int = 16 * 1024
    header_timeout: float = 10.0
    max_connections: int = 1000
    max_requests: int = 500
    max_bodies: int = 64 * 1024 * 1024
    max_pending: int = 100_000
    proxies: int | None = None
    max_refusals: int = 60
    dedup_window: float = 7 * 86400.0
    ordered: bool = True
    durability: Durability = Durability.MEMORY
    dashboard_tokens: tuple[bytes, ...] = field(repr=False, default=())
    dashboard_read_tokens: tuple[bytes, ...] = field(repr=False, default=())

    @property
    def has_dashboard(self) -> bool:
        """Whether anybody may open the dashboard."""
        return bool(self.dashboard_tokens or self.dashboard_read_tokens)

    @classmethod
    def from_environment(cls, values: Mapping[str, str]) -> Self:
        """Read the settings. Raises `ConfigurationError` that names every wrong one."""
        env = Environment(values)
        default = cls()
        settings = cls(
            **_queue_settings(env),
            host=env.get("HOST", default.host, str),
            port=env.get("PORT", 8000, _whole(1, 65535)),
            processes=env.get("WEB_CONCURRENCY", 1, _whole(1, 64)),
            webhook_tokens=env.require(
                "HILOOP_WEBHOOK_TOKEN",
                (),
                _secrets,
                "use the bearer token shown under Admin > Webhooks (several, separated by commas, while you rotate)",
            ),
            metrics_tokens=env.get("HILOOP_METRICS_TOKEN", (), _secrets),
            max_body=env.get("HILOOP_MAX_BODY", 1024 * 1024, _whole(1024, 64 * 1024 * 1024)),
            body_timeout=env.get("HILOOP_BODY_TIMEOUT", 10.0, _seconds(0.1, 300)),
            max_headers=env.get("HILOOP_MAX_HEADERS", default.max_headers, _whole(1024, 1024 * 1024)),
            header_timeout=env.get("HILOOP_HEADER_TIMEOUT", default.header_timeout, _seconds(0.1, 300)),
            max_connections=env.get("HILOOP_MAX_CONNECTIONS", default.max_connections, _whole(1, 100_000)),
            max_requests=env.get("HILOOP_MAX_REQUESTS", default.max_requests, _whole(1, 100_000)),
            max_bodies=env.get("HILOOP_MAX_BODIES", default.max_bodies, _bytes(64 * 1024)),
            max_pending=env.get("HILOOP_MAX_PENDING", default.max_pending, _whole(1, 100_000_000)),
            proxies=env.get("HILOOP_PROXIES", default.proxies, _whole(0, 16)),
            max_refusals=env.get("HILOOP_MAX_REFUSALS", default.max_refusals, _whole(1, 1_000_000)),
            dedup_window=env.get("HILOOP_DEDUP_WINDOW", 7 * 86400.0, _seconds(1, 366 * 86400)),
            ordered=env.get("HILOOP_ORDER", True, _choice({"session": True, "none": False})),
            durability=env.get("HILOOP_DURABILITY", Durability.MEMORY, _choice({one.value: one for one in Durability})),
            dashboard_tokens=env.get("HILOOP_DASHBOARD_TOKEN", (), _dashboard_tokens),
            dashboard_read_tokens=env.get("HILOOP_DASHBOARD_READ_TOKEN", (), _dashboard_tokens),
        )
        if set(settings.dashboard_tokens) & set(settings.dashboard_read_tokens):
            env.problems.append(
                "HILOOP_DASHBOARD_READ_TOKEN must differ from HILOOP_DASHBOARD_TOKEN, which may do more"
            )
        env.done()
        return settings


@dataclass(frozen=True, slots=True)
class WorkerSettings(QueueSettings):
    """Settings of a worker process.

    ``api_key``, ``agent_keys``: the agent's secrets; explicit keys (base64, the current one first) take precedence
    over the one derived from the API key. ``handlers``: modules to import. ``concurrency``: how many handlers run
    at once. ``retries``: tries after the first one. ``retry_base``, ``retry_max``: seconds, of the exponential
    backoff. ``timeout``: seconds a handler may take. ``grace``: seconds running handlers get at a stop. ``lease``:
    seconds after which a silent worker's events are taken over. ``keeping``: what stays of events that are done with.
    ``reconcile``: seconds between comparisons with the platform's deliveries, 0 for none. ``alerts``: what is told to
    people. ``webhooks``: ids of the webhooks that lead to this receiver; empty where the agent has no others.
    ``trusted_senders``: whose keys may decide; nobody means that it is not asked.
    """

    api_key: str = field(repr=False, default="")
    agent_keys: tuple[str, ...] = field(repr=False, default=())
    agent_name: str = ""
    base_url: str = "https://api.hi-loop.com"
    handlers: tuple[str, ...] = ()
    concurrency: int = 100
    retries: int = 5
    retry_base: float = 2.0
    retry_max: float = 600.0
    timeout: float = 60.0
    grace: float = 20.0
    lease: float = 30.0
    keeping: Keeping = field(default_factory=Keeping)
    reconcile: float = 300.0
    alerts: Alerting = field(default_factory=Alerting)
    webhooks: tuple[str, ...] = ()
    trusted_senders: TrustedSenders = field(default_factory=TrustedSenders)

    @classmethod
    def from_environment(cls, values: Mapping[str, str]) -> Self:
        """Read the settings. Raises `ConfigurationError` that names every wrong one."""
        env = Environment(values)
        default = cls()
        settings = cls(
            **_queue_settings(env),
            api_key=env.get("HILOOP_API_KEY", "", _api_key),
            agent_keys=env.get("HILOOP_AGENT_KEYS", (), _list),
            agent_name=env.get("HILOOP_AGENT_NAME", "", str),
            base_url=env.get("HILOOP_BASE_URL", default.base_url, _base_url),
            handlers=env.require(
                "HILOOP_HANDLERS",
                (),
                _modules,
                "name the modules that hold your handlers, for example HILOOP_HANDLERS=handlers",
            ),
            concurrency=env.get("WORKER_CONCURRENCY", default.concurrency, _whole(1, 10_000)),
            retries=env.get("HILOOP_RETRIES", default.retries, _whole(0, 100)),
            retry_base=env.get("HILOOP_RETRY_BASE", default.retry_base, _seconds(0.001, 3600)),
            retry_max=env.get("HILOOP_RETRY_MAX", default.retry_max, _seconds(0.001, 7 * 86400)),
            timeout=env.get("HILOOP_HANDLER_TIMEOUT", default.timeout, _seconds(0.01, 7 * 86400)),
            grace=env.get("HILOOP_SHUTDOWN_GRACE", default.grace, _seconds(0, 3600)),
            lease=env.get("HILOOP_LEASE", default.lease, _seconds(1, 3600)),
            keeping=_keeping(env),
            reconcile=env.get("HILOOP_RECONCILE", default.reconcile, _or_none(_seconds(1, 86400))),
            alerts=_alerting(env),
            webhooks=env.get("HILOOP_WEBHOOK_ID", default.webhooks, _list),
            trusted_senders=env.get("HILOOP_TRUSTED_SENDERS", default.trusted_senders, TrustedSenders.parse),
        )
        if not settings.api_key and not settings.agent_keys and "HILOOP_API_KEY" not in _named(env.problems):
            env.problems.append(
                "HILOOP_API_KEY is not set; use the agent's key (hlp_ and 64 hex digits), or give its private keys "
                "in HILOOP_AGENT_KEYS"
            )
        env.done()
        return settings


def _named(problems: list[str]) -> set[str]:
    return {problem.split(" ", 1)[0] for problem in problems}


def _connection_settings(env: Environment) -> dict[str, Any]:
    return {
        "redis_url": env.require(
            "REDIS_URL",
            "redis://127.0.0.1:6379/0",
            _redis_url,
            "for example REDIS_URL=redis://127.0.0.1:6379/0",
        ),
        "redis_verify_tls": env.get("HILOOP_REDIS_TLS", True, _choice({"verify": True, "self-signed": False})),
        "queue": env.get("HILOOP_QUEUE", "hiloop", _queue_name),
        "log_level": env.get("HILOOP_LOG_LEVEL", logging.INFO, parse_level),
        "log_format": env.get("HILOOP_LOG_FORMAT", "text", _choice({name: name for name in FORMATS})),
    }


def _queue_settings(env: Environment) -> dict[str, Any]:
    return {
        **_connection_settings(env),
        "webhook_secrets": env.require(
            "HILOOP_WEBHOOK_SECRET",
            tuple[bytes, ...](),
            _secrets,
            "use the signing secret shown under Admin > Webhooks (several, separated by commas, while you rotate)",
        ),
    }


def _keeping(env: Environment) -> Keeping:
    default = Keeping()
    kept = _seconds(60, 366 * 86400)
    return Keeping(
        dead=int(env.get("HILOOP_KEEP_DEAD", float(default.dead), kept)),
        dead_max=env.get("HILOOP_KEEP_DEAD_MAX", default.dead_max, _whole(1, 10_000_000)),
        dead_bytes=env.get("HILOOP_KEEP_DEAD_BYTES", default.dead_bytes, _bytes(64 * 1024)),
        handled=int(env.get("HILOOP_KEEP_HANDLED", float(default.handled), _or_none(kept))),
        handled_max=env.get("HILOOP_KEEP_HANDLED_MAX", default.handled_max, _whole(1, 10_000_000)),
        bodies=env.get("HILOOP_KEEP_EVENTS", default.bodies, _choice({"failed": False, "all": True})),
    )


def _alerting(env: Environment) -> Alerting:
    default = Alerting()
    long = _or_none(_seconds(0.1, 7 * 86400))
    return Alerting(
        url=env.get("HILOOP_ALERT_URL", "", _web_address),
        waiting=env.get("HILOOP_ALERT_WAITING", default.waiting, long),
        stalled=env.get("HILOOP_ALERT_STALLED", default.stalled, long),
        every=env.get("HILOOP_ALERT_EVERY", default.every, _seconds(0.1, 7 * 86400)),
        check=env.get("HILOOP_ALERT_CHECK", default.check, _seconds(0.05, 3600)),
    )


def _or_none(parse: Callable[[str], float]) -> Callable[[str], float]:
    return lambda text: 0.0 if text == "0" else parse(text)


def _bytes(low: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text.lower())
        if match is None or int(match[1]) * _SIZES[match[2]] < low:
            raise ValueError(f"must be a size of at least {low // 1024} kb; write it like 500kb, 100mb or 1gb")
        return int(match[1]) * _SIZES[match[2]]

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = duration(text)
        if not low <= seconds <= high:
            raise ValueError(f"must be from {low:g} s to {high:g} s")
        return seconds

    return parse


def _choice(choices: Mapping[str, _Value]) -> Callable[[str], _Value]:
    def parse(text: str) -> _Value:
        if text.lower() not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return choices[text.lower()]

    return parse


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _secrets(text: str) -> tuple[bytes, ...]:
    parts = _list(text)
    if not parts:
        raise ValueError("holds only commas")
    if any(len(part) < MIN_SECRET_CHARS for part in parts):
        raise ValueError(f"has a part shorter than {MIN_SECRET_CHARS} characters, which can be guessed")
    return tuple(part.encode() for part in parts)


def _dashboard_tokens(text: str) -> tuple[bytes, ...]:
    tokens = _secrets(text)
    if any(len(token) < MIN_DASHBOARD_TOKEN_CHARS for token in tokens):
        raise ValueError(
            f"has a part shorter than {MIN_DASHBOARD_TOKEN_CHARS} characters, which can be guessed; "
            "`openssl rand -hex 24` makes a good one"
        )
    return tokens


def _redis_url(text: str) -> str:
    scheme = text.partition("://")[0].lower()
    if scheme not in {"redis", "rediss", "unix", *SENTINEL_SCHEMES}:
        raise ValueError("must start with redis://, rediss://, unix:// or redis+sentinel://")
    SentinelAddress.from_url(text)
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        raise ValueError("must be an https:// address (http:// only on this machine)")
    return text.rstrip("/").removesuffix("/v1")


def _web_address(text: str) -> str:
    with suppress(ValueError):  # its own may quote the address, which holds a token
        parts = urlsplit(text)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return text
    raise ValueError("must be an https:// or http:// address")


def _queue_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, _ or -")
    return text


def _api_key(text: str) -> str:
    if text.startswith("hlp_prov_"):
        raise ValueError(
            "is a provisioning key, which creates agents; use the key of one agent (hlp_ and 64 hex digits)"
        )
    if not re.fullmatch(r"hlp_[0-9a-f]{64}", text, re.ASCII):
        raise ValueError("is no agent key; one is hlp_ followed by 64 lower-case hex digits")
    return text


def _modules(text: str) -> tuple[str, ...]:
    names = _list(text)
    if not names:
        raise ValueError("holds only commas")
    for name in names:
        if not _MODULE.fullmatch(name):
            raise ValueError("must be dotted module names separated by commas, like handlers or agents.deploy")
    return names
