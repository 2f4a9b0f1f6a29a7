"""What this worker has done, until it writes that to Redis: about once a second, all together."""

from __future__ import annotations

import math
import threading
from collections import Counter

from receiver.attempts import HandlerCounts

MAX_NAME_CHARS = 200


class Tally:
    """Attempts are noted in the thread of the handlers; the rest is the business of the one that speaks to Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[str, HandlerCounts] = {}
        self._totals: Counter[str] = Counter()
        self._handled = 0

    def note_attempt(self, handler: str, outcome: str, ms: float, *, retried: bool) -> None:
        """Count one run of a handler that took ``ms``."""
        with self._lock:
            counts = self._attempts.get(handler)
            if counts is None:
                counts = self._attempts[handler] = HandlerCounts()
            counts.note(outcome, ms, retried=retried)

    def note_handled(self, ms: float | None) -> None:
        """Count one event that was handled ``ms`` after its POST; None where that is not known, or was a replay."""
        self._handled += 1
        if ms is not None:
            # The buckets of `receiver.layout.COUNTERS`.
            self._totals[f"ms:{math.ceil(math.log2(max(1.0, ms)) * 4)}"] += 1
            self._totals["milliseconds"] += round(ms)

    def take(self) -> list[str | int]:
        """What was noted since the last time, as arguments of the script `tally`; nothing if nothing was."""
        with self._lock:
            attempts, self._attempts = self._attempts, {}
        if not (attempts or self._handled):
            return []
        handled, totals = self._handled, self._totals
        self._handled, self._totals = 0, Counter()
        arguments: list[str | int] = [handled, len(totals)]
        for total in totals.items():
            arguments += total
        for name, counts in attempts.items():
            arguments += [name[:MAX_NAME_CHARS], counts.to_text()]
        return arguments
