"""How often one may try to log in: few times a minute from one place, some more from all places together.

Counted in Redis, so that it holds for several web processes. Where `HILOOP_PROXIES` does not say how many routers are
in front, a connection from a private address is taken for that of one router: it has added the sender's address to
`X-Forwarded-For` itself. Whoever connects from a public address and sends such a header gains nothing by it, and one
who has many addresses meets the limit for all.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any, Final

import redis

from receiver.layout import Layout
from receiver.sources import source_of

TRIES: Final = 5
TRIES_OF_ALL: Final = 60
SECONDS: Final = 60
_ALL: Final = "all"


def place_of(peer: str, forwarded: str, proxies: int | None) -> str:
    """From where somebody logs in. ``forwarded``: the header `X-Forwarded-For`, or empty."""
    if proxies is None:
        proxies = 1 if _is_private(peer) else 0
    return source_of(peer, forwarded, proxies)


class LoginThrottle:
    """Counts tries before a token is looked at, so that tries at the same time count too."""

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        self._redis: Any = connection
        self._layout = layout

    def admit(self, source: str) -> int:
        """Count a try from ``source``. Returns 0, or for how many seconds there must be no more."""
        keys = self._key(source), self._key(_ALL)
        with self._redis.pipeline() as pipe:
            for key in keys:
                pipe.incr(key)
                pipe.expire(key, SECONDS, nx=True)
                pipe.ttl(key)
            tries, _, wait, of_all, _, wait_all = pipe.execute()
        if tries > TRIES:
            return max(1, int(wait))
        return max(1, int(wait_all)) if of_all > TRIES_OF_ALL else 0

    def forget(self, source: str) -> None:
        """Somebody has logged in from ``source``: start over."""
        self._redis.delete(self._key(source))

    def _key(self, source: str) -> str:
        # Addresses of people are not kept.
        who = source if source == _ALL else hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:32]
        return self._layout.own(f"logins:{who}")


def _is_private(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_private or found in ipaddress.ip_network("100.64.0.0/10")
