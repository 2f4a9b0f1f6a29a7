"""Who may open the dashboard: tokens, signed sessions that end, and proofs that a form is ours. Pure.

A session is a cookie and nothing else. It is signed with a key derived from the token that opened it: a token that is
changed ends its sessions, and a cookie of the read-only token tells nothing about the other one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SESSION_SECONDS: Final = 12 * 3600
MAX_NAME: Final = 40
_LONGEST_COOKIE: Final = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in. ``name`` is what the person calls herself; ``may_order``: whether she may change
    anything; ``expires``: Unix seconds; ``csrf``: what every form of hers has to hold.
    """

    name: str
    may_order: bool
    expires: int
    csrf: str

    def owns(self, csrf: str) -> bool:
        """Whether a form with this proof is of this session."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class Access:
    """Opens and checks sessions with the tokens of the settings."""

    def __init__(self, tokens: Sequence[bytes], read_tokens: Sequence[bytes]) -> None:
        roles = [(token, True) for token in tokens] + [(token, False) for token in read_tokens]
        self._tokens = [(hashlib.sha256(token).digest(), _key(token, may), may) for token, may in roles]

    def open(self, token: str, name: str, *, nonce: bytes, now: float) -> str | None:
        """The cookie of a new session; None if no such token opens one. Takes the same time for all tokens."""
        given, found = hashlib.sha256(token.encode("utf-8", "replace")).digest(), None
        for expected, key, _ in self._tokens:
            if hmac.compare_digest(expected, given):
                found = key
        if found is None:
            return None
        shown = "".join(char for char in name if char.isprintable()).strip()[:MAX_NAME]
        payload = json.dumps([shown, int(now) + SESSION_SECONDS, nonce.hex()]).encode()
        return f"{_encoded(payload)}.{_encoded(hmac.digest(found, payload, 'sha256'))}"

    def session(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie, None if it is none of ours or over."""
        payload, tag = _parts(cookie)
        found = None
        for _, key, may_order in self._tokens:
            if hmac.compare_digest(hmac.digest(key, payload, "sha256"), tag):
                found = key, may_order
        if found is None:
            return None
        key, may_order = found
        name, expires, nonce = _read(payload)
        csrf = hmac.digest(key, b"form " + nonce.encode(), "sha256").hex()
        return Session(name or "somebody", may_order, expires, csrf) if now < expires else None


def _key(token: bytes, may_order: bool) -> bytes:  # one of two roles
    return hmac.digest(token, b"hiloop dashboard session v1 " + (b"full" if may_order else b"read"), "sha256")


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _parts(cookie: str) -> tuple[bytes, bytes]:
    payload, dot, tag = cookie.partition(".")
    try:
        if dot and len(cookie) <= _LONGEST_COOKIE:
            return _decoded(payload), _decoded(tag)
    except (binascii.Error, ValueError):
        pass
    return b"", b""


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _read(payload: bytes) -> tuple[str, int, str]:
    # Signed by us, so it is what `open` has written.
    parts: list[Any] = json.loads(payload)
    return str(parts[0]), int(parts[1]), str(parts[2])
