"""Refused requests: some are logged, of the others the number, and senders are counted only for what is suspect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.typing import EventDict

from receiver.counts import Counts
from receiver.errors import InvalidEvent, RequestError, TooManyRefusals, Unauthorized
from receiver.refusals import LINES, Refusals
from receiver.testing import MemoryInbox

PEER = ("192.0.2.1", 4711)


def run(
    scenario: Callable[[Refusals], None], *, proxies: int | None = 0, limit: int = 3, wait: float = 0
) -> MemoryInbox:
    """Run a scenario on an event loop."""

    async def main() -> MemoryInbox:
        inbox = MemoryInbox()
        counts = Counts(inbox.count)
        scenario(Refusals(counts, proxies=proxies, limit=3, seconds=0.01))
        await asyncio.sleep(wait)
        await counts.close()
        return inbox

    return asyncio.run(main())


def note(refusals: Refusals, error: RequestError, times: int) -> None:
    """Refuse some requests of `PEER`."""
    for _ in range(times):
        refusals.note(error, refusals.source(PEER))


def test_the_first_are_logged_and_of_the_others_the_number(logged: list[EventDict]) -> None:
    inbox = run(lambda refusals: note(refusals, Unauthorized("", "bad_token"), LINES + 7), wait=0.1)
    assert logged[:-1] == [{"log_level": "info", "event": "refused", "status": 401, "code": "unauthorized"}] * LINES
    summary = {"log_level": "warning", "event": "refused", "code": "unauthorized", "more": 7, "seconds": 0.01}
    assert logged[-1] == summary
    assert inbox.counted == {"refused": LINES + 7, "refused:bad_token": LINES + 7}


def test_nothing_is_told_of_none(logged: list[EventDict]) -> None:
    run(lambda refusals: note(refusals, Unauthorized("", "bad_token"), 2), wait=0.1)
    assert [line["log_level"] for line in logged] == ["info", "info"]


def test_a_sender_over_its_limit_is_turned_away() -> None:
    def scenario(refusals: Refusals) -> None:
        note(refusals, Unauthorized("", "bad_token"), 3)
        with pytest.raises(TooManyRefusals):
            refusals.admit(PEER, [])
        refusals.admit(("192.0.2.2", 4711), [])

    run(scenario)


def test_what_the_platform_has_signed_does_not_count() -> None:
    def scenario(refusals: Refusals) -> None:
        note(refusals, InvalidEvent(""), 100)
        refusals.admit(PEER, [])

    run(scenario)


def test_nobody_is_turned_away_where_senders_cannot_be_told_apart() -> None:
    def scenario(refusals: Refusals) -> None:
        note(refusals, Unauthorized("", "bad_token"), 100)
        refusals.admit(PEER, [])

    run(scenario, proxies=None)
