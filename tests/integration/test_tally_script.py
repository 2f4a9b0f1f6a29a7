"""Contract of tally.lua: attempts add up by handler, in all and by the minute, once a report, and never without end."""

from __future__ import annotations

import time

import pytest

from receiver.attempts import HandlerCounts
from receiver.ledger import Ledger
from tests.support.scripts import LAYOUT, Scripts

DAY_AGO = time.time() - 26 * 3600


@pytest.fixture
def ledger(scripts: Scripts) -> Ledger:
    return Ledger(scripts.client, LAYOUT)


def numbers(*, done: int = 0, timeout: int = 0) -> str:
    """Numbers of attempts that took 3 ms each."""
    counts = HandlerCounts()
    for _ in range(done):
        counts.note("done", 3, retried=False)
    for _ in range(timeout):
        counts.note("timeout", 3, retried=True)
    return counts.to_text()


def test_reports_add_up_in_all_and_by_the_minute(scripts: Scripts, ledger: Ledger) -> None:
    scripts.tally("a", numbers(done=2), "b", numbers(timeout=1))
    scripts.tally("a", numbers(done=1, timeout=1), worker="worker-b")
    for found in (ledger.handlers(), ledger.handlers(minutes=2)):
        assert {
            name: (one.outcomes["done"], one.outcomes["timeout"], one.microseconds) for name, one in found.items()
        } == {
            "a": (3, 1, 12_000),
            "b": (0, 1, 3000),
        }
    assert found["a"].buckets[:2] == [0, 4]
    minutes = ledger.handler_minutes(60)
    assert len(minutes) == 60
    assert sum(counts["a"].attempts for _, counts in minutes if "a" in counts) == 4
    assert abs(ledger.handlers_seen()["a"] - time.time()) < 5
    kept = [scripts.client.ttl(minute) for minute in scripts.keys_about("handlers:")]
    assert kept
    assert 89_000 < min(kept) <= max(kept) <= 90_000


def test_totals_and_the_workers_own_number(scripts: Scripts, ledger: Ledger) -> None:
    scripts.heartbeat(birth=1)
    scripts.tally(handled=3, milliseconds=70)
    scripts.tally("a", numbers(done=1), number=2, handled=1, milliseconds=5)
    assert ledger.counters() == {"milliseconds": 75}
    assert sum(minute.counters.get("milliseconds", 0) for minute in ledger.minutes(2)) == 75
    assert scripts.client.hget("rq:worker:worker-a", "successful_job_count") == b"4"
    assert ledger.handlers()["a"].attempts == 1


def test_a_report_that_is_repeated_counts_once(scripts: Scripts, ledger: Ledger) -> None:
    scripts.heartbeat(birth=1)
    assert scripts.tally("a", numbers(done=1), number=7, milliseconds=3) == 1
    assert scripts.tally("a", numbers(done=1), number=7, milliseconds=3) == 0
    assert scripts.tally("a", numbers(done=1), number=8, milliseconds=3) == 1
    assert (ledger.handlers()["a"].attempts, ledger.counters()["milliseconds"]) == (2, 6)


def test_a_dead_worker_leaves_no_record_behind(scripts: Scripts) -> None:
    scripts.tally("a", numbers(done=1))
    assert scripts.keys_about("worker-a") == []


def test_there_is_an_end_to_the_number_of_handlers(scripts: Scripts, ledger: Ledger) -> None:
    for number in range(203):
        scripts.tally(f"h{number}", numbers(done=1))
    found = ledger.handlers()
    assert len(found) == len(ledger.handlers_seen()) == 201
    assert found["(others)"].attempts == 3
    scripts.client.zadd(LAYOUT.own("handlers_seen"), {"h7": DAY_AGO, "h8": DAY_AGO + 1})
    scripts.tally("new", numbers(done=1))  # takes the place of one that a release has removed long ago
    scripts.client.hdel(LAYOUT.own("handlers"), "(others)")
    assert ledger.handlers().keys() >= {"new", "h8"}
    assert "h7" not in ledger.handlers()


@pytest.mark.parametrize("hostile", [b"", b"x", b"9" * 5000, b"1 2 " * 5000, b"\xff\xfe", b"-1 1e5 0x10"])
def test_hostile_numbers_stop_no_worker(scripts: Scripts, ledger: Ledger, hostile: bytes) -> None:
    scripts.client.hset(LAYOUT.own("handlers"), "a", hostile)
    assert scripts.tally("a", numbers(done=1)) == 1
    assert ledger.handlers()["a"].outcomes["done"] >= 0
    assert len(scripts.client.hget(LAYOUT.own("handlers"), "a") or b"") < 1100


def test_reading_is_bounded_whatever_others_have_written(scripts: Scripts, ledger: Ledger) -> None:
    scripts.client.hset(LAYOUT.own("handlers"), mapping={f"h{number}": "1" for number in range(50_000)})
    assert len(ledger.handlers()) < 5_000
