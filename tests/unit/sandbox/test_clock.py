"""Time that can be sped up."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from receiver.sandbox.clock import Clock, duration, timestamp


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("500ms", 0.5), ("1.5m", 90), ("1h", 3600), ("3", 3), (" 2s ", 2), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1 s", "1e3s", "nan", "٣s", "1.s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="500ms"):
        duration(text)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), 1_000_001])
def test_a_speed_that_makes_no_sense(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Clock(speed)


@pytest.mark.parametrize(("speed", "at_least", "real"), [(1, 0, 10), (100, 0, 0.1), (100, 1, 1), (0.5, 1, 20)])
def test_durations_on_the_wall_clock(speed: float, at_least: float, real: float) -> None:
    assert Clock(speed).real(10, at_least=at_least) == real


async def _asleep(clock: Clock) -> asyncio.Task[None]:
    task = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    return task


def test_a_change_of_speed_reaches_sleepers() -> None:
    async def run() -> None:
        clock = Clock(0.001)
        task = await _asleep(clock)
        clock.speed = 1_000_000
        async with asyncio.timeout(5):
            await task

    asyncio.run(run())


def test_what_has_been_slept_counts() -> None:
    async def run() -> None:
        clock = Clock(1_000_000)
        task = await _asleep(clock)
        clock._virtual += 3600  # as if an hour had gone by
        clock.speed = 0.001
        async with asyncio.timeout(5):
            await task

    asyncio.run(run())


def test_timestamps_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 22, 15, 30, 17, 123999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-11-22T13:30:17.123Z"
