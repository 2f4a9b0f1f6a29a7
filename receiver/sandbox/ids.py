"""Ids of events, deliveries and requests: a prefix and a ULID, so that they sort by time of creation."""

from __future__ import annotations

import secrets
import time
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(prefix: str) -> str:
    """``evt_01J…``: ``prefix``, 48 bits of time in milliseconds and 80 random bits (github.com/ulid/spec)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return prefix + "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
