"""The sandbox's time: it can run faster than the wall clock, so that an hour's retry takes seconds."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?", re.ASCII)


class Clock:
    """Durations of the platform, divided by ``speed``. Timestamps stay those of the wall clock.

    Changing ``speed`` takes effect on everything that is sleeping already.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._check(speed)
        self._speed = speed
        self._virtual, self._real = 0.0, time.monotonic()
        self._changed = asyncio.Event()

    @property
    def speed(self) -> float:
        """Seconds of the platform in one second of ours."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._check(speed)
        self._virtual, self._real = self._now(), time.monotonic()
        self._speed = speed
        self._changed.set()
        self._changed = asyncio.Event()

    @staticmethod
    def _check(speed: float) -> None:
        if not 0 < speed <= 1_000_000:
            raise ValueError("the speed of time is a number above 0 and at most 1000000")

    def _now(self) -> float:
        return self._virtual + (time.monotonic() - self._real) * self._speed

    def real(self, seconds: float, *, at_least: float = 0.0) -> float:
        """How long ``seconds`` of the platform are on the wall clock; never below ``at_least``.

        A floor is for what depends on somebody else's speed, as a receiver does not get faster with our clock.
        """
        return max(at_least, seconds / self._speed)

    def in_future(self, seconds: float) -> str:
        """The timestamp at which ``seconds`` of the platform will have gone by."""
        return timestamp(datetime.now(UTC) + timedelta(seconds=self.real(seconds)))

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds`` of the platform."""
        wake_up = self._now() + seconds
        while (left := wake_up - self._now()) > 0:
            try:
                async with asyncio.timeout(left / self._speed):
                    await self._changed.wait()
            except TimeoutError:
                return


def duration(text: str) -> float:
    """The seconds that ``2s``, ``500ms``, ``1.5m``, ``1h`` or a bare number mean. Raises `ValueError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("a duration is a number with its unit: 500ms, 2s, 1.5m, 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def timestamp(moment: datetime | None = None) -> str:
    """``moment`` (default: now) as the API writes it: UTC with milliseconds, ``2026-11-22T13:30:17.123Z``."""
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
