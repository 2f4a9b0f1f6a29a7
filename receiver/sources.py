"""Which senders have had too many requests refused lately. Pure.

Every refusal pours into its sender's bucket, which drains at ``limit`` a minute; while it is full, the sender is turned
away. The number of buckets is bounded: the one that was poured into the longest ago goes first.
"""

from __future__ import annotations

import ipaddress
from typing import Final

MAX_SOURCES: Final = 10_000
# One household or server has at least that much of IPv6 to choose addresses from (RFC 6177).
_IPV6_PREFIX: Final = 64


class Sources:
    """The buckets. ``limit``: refusals a minute. Times are in seconds of any steady clock."""

    def __init__(self, limit: int, max_sources: int = MAX_SOURCES) -> None:
        self._limit = limit
        self._drain = limit / 60
        self._max_sources = max_sources
        self._buckets: dict[str, tuple[float, float]] = {}  # source → level, and when that was so

    def __len__(self) -> int:
        return len(self._buckets)

    def refused(self, source: str, now: float) -> None:
        """Count one refusal against ``source``."""
        level = self._level(source, now)
        self._buckets.pop(source, None)  # what is put in anew is the last
        self._buckets[source] = (min(level + 1, self._limit), now)
        if len(self._buckets) > self._max_sources:
            del self._buckets[next(iter(self._buckets))]

    def seconds_to_wait(self, source: str, now: float) -> float:
        """How long ``source`` is still turned away; 0 if it is not."""
        level = self._level(source, now)
        if not level:
            self._buckets.pop(source, None)
        return max(0.0, (level - self._limit + 1) / self._drain)

    def _level(self, source: str, now: float) -> float:
        level, since = self._buckets.get(source, (0.0, now))
        return max(0.0, level - (now - since) * self._drain)


def source_of(peer: str, forwarded: str, proxies: int) -> str:
    """Who sent a request: its address, or its network in IPv6.

    Each of ``proxies`` routers in front has added the address of who spoke to it to the end of ``forwarded``, the
    value of `X-Forwarded-For`; what stands before these anybody can have written. Without a readable entry it is the
    ``peer``.
    """
    entries = forwarded.split(",")
    if 0 < proxies <= len(entries):
        return _network(entries[-proxies]) or _network(peer) or peer
    return _network(peer) or peer


def _network(text: str) -> str:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))
