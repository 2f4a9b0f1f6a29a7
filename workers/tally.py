"""What the attempts of this worker came to, until the worker writes it to Redis: about once a second, all together."""

from __future__ import annotations

import threading

from receiver.attempts import HandlerCounts

MAX_NAME_CHARS = 200


class Tally:
    """Noted in the thread of the handlers, taken in the thread that speaks to Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, HandlerCounts] = {}

    def note(self, handler: str, outcome: str, ms: float, *, retried: bool) -> None:
        """Count one attempt."""
        with self._lock:
            counts = self._counts.get(handler)
            if counts is None:
                counts = self._counts[handler] = HandlerCounts()
            counts.note(outcome, ms, retried=retried)

    def take(self) -> list[str]:
        """What was noted since the last time, as arguments of the script `tally`: name, numbers, name, numbers, …"""
        if not self._counts:
            return []
        with self._lock:
            counts, self._counts = self._counts, {}
        return [part for name, one in counts.items() for part in (name[:MAX_NAME_CHARS], one.to_text())]
