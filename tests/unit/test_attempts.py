"""Numbers of attempts: what is written is read, whatever else stands in Redis counts as nothing, sums are sums."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.attempts import BOUNDS_MS, OUTCOMES, HandlerCounts
from workers.tally import MAX_NAME_CHARS, Tally

attempts = st.lists(st.tuples(st.sampled_from(OUTCOMES), st.floats(0, 1e7), st.booleans()), max_size=20)


def counted(noted: list[tuple[str, float, bool]]) -> HandlerCounts:
    counts = HandlerCounts()
    for outcome, ms, retried in noted:
        counts.note(outcome, ms, retried=retried)
    return counts


@given(attempts)
def test_what_is_written_is_read(noted: list[tuple[str, float, bool]]) -> None:
    counts = counted(noted)
    assert HandlerCounts.from_text(counts.to_text()) == counts
    assert counts.attempts == sum(counts.buckets) == len(noted)


@given(attempts, attempts)
def test_sums_are_sums(one: list[tuple[str, float, bool]], other: list[tuple[str, float, bool]]) -> None:
    total = counted(one)
    total.add(counted(other))
    assert total == counted(one + other)


@given(st.text())
def test_any_text_gives_numbers(text: str) -> None:
    counts = HandlerCounts.from_text(text)
    assert counts.attempts >= counts.failures >= 0


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "٣", "9" * 5000, "NaN"], ids=lambda text: text[:8])
def test_what_is_no_number_is_0(text: str) -> None:
    assert HandlerCounts.from_text(f"{text} {text} 7").outcomes["retry_later"] == (7 if len(text) < 200 else 0)
    assert HandlerCounts.from_text(text) == HandlerCounts()


@pytest.mark.parametrize(("ms", "bucket"), [(0, 0), (1, 0), (1.1, 1), (300_000, 12), (300_001, 13)])
def test_a_bucket_holds_its_bound(ms: float, bucket: int) -> None:
    counts = counted([("done", ms, False)])
    assert counts.buckets.index(1) == bucket


def test_means_and_percentiles() -> None:
    assert (HandlerCounts().mean_ms, HandlerCounts().percentile_ms(0.5)) == (None, None)
    counts = counted([("done", 3, False)] * 9 + [("timeout", 400_000, True)])
    assert (counts.attempts, counts.failures, counts.retried) == (10, 1, 1)
    assert counts.mean_ms == pytest.approx(40_002.7)
    assert (counts.percentile_ms(0.5), counts.percentile_ms(0.9), counts.percentile_ms(0.95)) == (5, 5, math.inf)
    assert BOUNDS_MS[1] == 5


def test_a_tally_is_taken_once() -> None:
    tally = Tally()
    assert tally.take() == []
    tally.note_attempt("h", "done", 3, retried=False)
    tally.note_attempt("h" * 500, "timeout", 3, retried=True)
    handled, totals, first, numbers, second, _ = tally.take()
    assert (handled, totals) == (0, 0)
    assert (first, numbers, second) == ("h", "1 0 0 0 0 0 3000 0 1", "h" * MAX_NAME_CHARS)
    assert tally.take() == []


def test_a_tally_counts_latencies_in_buckets() -> None:
    tally = Tally()
    for ms in (0.0, 1.0, 2.0, 2.1, None):
        tally.note_handled(ms)
    assert tally.take() == [5, 4, "ms:0", 2, "milliseconds", 5, "ms:4", 1, "ms:5", 1]
    assert tally.take() == []
