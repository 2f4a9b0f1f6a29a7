"""Decide whether and when a failed handler is tried again. Pure: time and randomness are arguments.

Exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to try again.

    ``retries``: tries after the first. ``base`` and ``maximum``: seconds; the longest wait before the n-th retry is
    ``base * 2 ** (n - 1)``, at most ``maximum``.
    """

    retries: int
    base: float
    maximum: float

    def delay(self, attempt: int, random: Callable[[], float], asked: float | None = None) -> float | None:
        """Seconds to wait after try number ``attempt`` (from 1) has failed, or None if it was the last.

        ``random`` gives numbers from 0 to 1. ``asked`` is what the handler itself wants (`RetryLater`), and is kept
        exactly.
        """
        if attempt > self.retries:
            return None
        if asked is not None:
            return asked
        # 2.0 ** 64 is far above any maximum; larger exponents would overflow.
        longest = min(self.maximum, self.base * 2.0 ** min(attempt - 1, 64))
        return longest * random()
