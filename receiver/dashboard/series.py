"""Numbers over time for the charts: some minutes a place. What is over is read once and kept, as it changes no more."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from receiver.counted import merged
from receiver.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Period:
    """How far back a chart looks: ``places`` of ``minutes`` each."""

    name: str
    label: str
    minutes: int
    places: int

    @property
    def total_minutes(self) -> int:
        """How far back, in minutes."""
        return self.minutes * self.places


PERIODS: Final = {
    one.name: one
    for one in (
        Period("1h", "last hour", 1, 60),
        Period("6h", "last 6 hours", 6, 60),
        Period("24h", "last 24 hours", 24, 60),
    )
}
# Reports of web processes and workers come a few seconds late.
_LATE_SECONDS: Final = 60
# Three periods of sixty places, some times over.
_KEPT: Final = 400

Counted = dict[str, int]


class Series:
    """Reads what was counted, by place of a chart. Of one thread at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._over: OrderedDict[tuple[int, int], Counted] = OrderedDict()

    def read(self, period: Period, now: float | None = None) -> list[tuple[int, Counted]]:
        """The start of each place (Unix seconds) and its numbers, the oldest first."""
        now = time.time() if now is None else now
        seconds = period.minutes * 60
        last = int(now // seconds) * seconds
        starts = range(last - (period.places - 1) * seconds, last + 1, seconds)
        unknown = [start for start in starts if (start, period.minutes) not in self._over]
        fresh = self._fresh(unknown[0], last + seconds, period.minutes) if unknown else {}
        for start, counted in fresh.items():
            if start + seconds + _LATE_SECONDS < now:
                self._over[start, period.minutes] = counted
        while len(self._over) > _KEPT:
            self._over.popitem(last=False)
        return [(start, fresh[start] if start in fresh else self._over[start, period.minutes]) for start in starts]

    def _fresh(self, start: int, end: int, minutes: int) -> dict[int, Counted]:
        found = self._ledger.minutes((end - start) // 60, end - 1)
        places = [found[i : i + minutes] for i in range(0, len(found), minutes)]
        return {place[0].start: merged(place) for place in places}


def clock(start: int) -> str:
    """How a place is named: its time in UTC."""
    return f"{datetime.fromtimestamp(start, UTC):%H:%M}"
