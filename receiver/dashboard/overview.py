"""What the overview shows, read once for all who look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from receiver.attempts import HandlerCounts
from receiver.counted import percentiles
from receiver.dashboard.charts import Chart, curves, stacked
from receiver.dashboard.pool import Pool
from receiver.dashboard.series import Period, Series, clock
from receiver.ledger import Ledger, Status
from receiver.noted import PlatformNote
from receiver.stored import Filter, StoredEvent

# A reading serves everybody for so long (seconds).
FRESH_SECONDS: Final = 1.0
_FAILING_MINUTES: Final = 15
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Overview:
    """How the whole is doing. ``failing``: handlers of which attempts failed in the last minutes, the worst first.
    ``reasons``: dead letters by reason. ``refused``: rejected requests by reason, in all. ``counted``: totals of the
    period. ``platform``: by agent, what the platform says itself.
    """

    period: Period
    at: float
    status: Status
    events: Chart
    turned_away: Chart
    latency: Chart
    counted: Mapping[str, int]
    percentiles: Mapping[str, float | None]
    failing: list[tuple[str, HandlerCounts]]
    reasons: list[tuple[str, int]]
    refused: list[tuple[str, int]]
    dead: tuple[StoredEvent, ...]
    platform: Mapping[str, PlatformNote]


class Overviews:
    """The latest overview of each period; whoever asks while it is being read waits for the same reading."""

    def __init__(self, ledger: Ledger, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._series = Series(ledger)
        self._pool = pool
        self._clock = clock
        self._read: dict[str, tuple[float, Overview]] = {}
        self._lock = asyncio.Lock()

    async def get(self, period: Period) -> Overview:
        """An overview that is at most a second old. Raises `redis.RedisError` and `Busy`."""
        async with self._lock:
            kept = self._read.get(period.name)
            if kept is None or self._clock() - kept[0] > FRESH_SECONDS:
                kept = self._clock(), await self._pool.run(partial(self._look, period))
                self._read[period.name] = kept
            return kept[1]

    def _look(self, period: Period) -> Overview:
        ledger = self._ledger
        places = self._series.read(period)
        times = [clock(start) for start, _ in places]
        numbers = [counted for _, counted in places]
        total: dict[str, int] = {}
        for counted in numbers:
            for name, number in counted.items():
                total[name] = total.get(name, 0) + number

        def of(name: str) -> list[int]:
            return [counted.get(name, 0) for counted in numbers]

        shares = [percentiles(counted) for counted in numbers]
        status = ledger.status()
        failing = [(name, one) for name, one in ledger.handlers(_FAILING_MINUTES).items() if one.failures]
        notes = {agent: PlatformNote.from_json(text) for agent, text in ledger.deliveries().items()}
        return Overview(
            period=period,
            at=time.time(),
            status=status,
            events=stacked(times, {"handled": of("handled"), "failed": of("dead")}, {"accepted": of("accepted")}),
            turned_away=stacked(times, {"duplicates": of("duplicates"), "rejected": of("refused")}, {}),
            latency=curves(times, {name: [one[name] for one in shares] for name in ("p50", "p95", "p99")}, "ms"),
            counted=total,
            percentiles=percentiles(total),
            failing=sorted(failing, key=lambda pair: -pair[1].failures)[:_SHOWN],
            reasons=_most(ledger.dead_reasons()),
            refused=_most({name[8:]: n for name, n in status.counters.items() if name.startswith("refused:")}),
            dead=ledger.page(Filter(), limit=_SHOWN).events,
            platform=dict(sorted(notes.items())),
        )


def _most(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    found = [(name, number) for name, number in numbers.items() if number > 0]
    return sorted(found, key=lambda pair: -pair[1])[:_SHOWN]
