"""Decide whether a call is made again, and when. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from receiver.errors import ConnectionFailed, HiloopError, TimedOut


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is: ``attempts`` tries, with pauses up to ``base``, 2x, 4x, … ``longest`` seconds.

    Each pause is drawn evenly between nothing and that bound ("full jitter", Exponential Backoff And Jitter,
    AWS Architecture Blog), so that clients that failed together do not come back together. A `Retry-After` of
    up to ``longest_wait`` seconds is honoured; one that is longer is left to the caller.
    """

    attempts: int = 4
    base: float = 0.5
    longest: float = 8.0
    longest_wait: float = 60.0

    def pause(self, failure: HiloopError, attempt: int, random: Callable[[], float]) -> float | None:
        """Seconds to wait after the ``attempt``-th try (from 1) ended with ``failure``; None to give up."""
        return None if attempt >= self.attempts else self.backoff(failure, attempt, random)

    def backoff(self, failure: HiloopError, attempt: int, random: Callable[[], float]) -> float | None:
        """As `pause`, however many tries there were; None for failures that another try would not mend."""
        if not is_transient(failure):
            return None
        asked = failure.retry_after or 0.0
        if asked > self.longest_wait:
            return None
        # 2**30 is beyond every bound, and keeps the power a number that a float can hold.
        return asked + random() * min(self.longest, self.base * 2.0 ** min(attempt - 1, 30))


def is_transient(failure: HiloopError) -> bool:
    """Whether the same call may succeed later: not reached, too slow, 408, 429 or 5xx."""
    if isinstance(failure, ConnectionFailed | TimedOut):
        return True
    return failure.status is not None and (failure.status == 429 or failure.status >= 500)
