"""Progress of handlers: what it writes it reads, and whatever else stands in Redis counts as no progress."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.progress import KEPT_ATTEMPTS, HandlerProgress, Progress

HOSTILE = {
    "empty": "",
    "no JSON": "pickle",
    "null": "null",
    "a list": "[]",
    "a number": "7",
    "a handler that is null": '{"a": null}',
    "a handler that is text": '{"a": "abc"}',
    "too few parts": '{"a": [1, 2]}',
    "attempts that are a number": '{"a": [1, 2, "done", 4, "", 6]}',
    "an attempt of too few parts": '{"a": [1, 2, "done", 4, "", [[1, 2]]]}',
    "an attempt at no time": '{"a": [1, 2, "done", 4, "", [[1, NaN, "done"]]]}',
    "an attempt before all time": '{"a": [1, 2, "done", 4, "", [[-1, 2, "done"]]]}',
    "too many parts": '{"a": [1, 2, "done", 4, "", [], 7]}',
    "a duration that is text": '{"a": [1, 2, "done", "x"]}',
    "a duration without end": '{"a": [1, 2, "done", Infinity]}',
    "a reason that is a number": '{"a": [1, 2, "done", 4, 5]}',
    "tries are text": '{"a": ["x", 0, "pending"]}',
    "tries are null": '{"a": [null, 0, "pending"]}',
    "tries are infinite": '{"a": [Infinity, 0, "pending"]}',
    "tries are negative": '{"a": [-1000000, 0, "pending"]}',
    "due is no number": '{"a": [1, NaN, "pending"]}',
    "due never": '{"a": [1, Infinity, "pending"]}',
    "due before all time": '{"a": [1, -Infinity, "pending"]}',
    "due too late for milliseconds": '{"a": [1, 1e306, "pending"]}',
    "due with too many digits": '{"a": [1, 1' + "0" * 400 + ', "pending"]}',
    "a state nobody knows": '{"a": [1, 0, "won"]}',
    "a state that is a number": '{"a": [1, 0, 7]}',
    "one good, one bad": '{"a": [1, 0, "done"], "b": []}',
    "very deep": "[" * 100_000,
    "a number of 5000 digits": '{"a": [' + "9" * 5000 + ', 0, "pending"]}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_anything_else_counts_as_no_progress(text: str) -> None:
    assert Progress.from_json(text) == Progress()


progresses = st.dictionaries(
    st.text(max_size=20),
    st.builds(
        HandlerProgress,
        tries=st.integers(0, 1000),
        due=st.floats(0, 1e11),
        state=st.sampled_from(["pending", "done", "dead"]),
        attempts=st.lists(
            st.tuples(st.integers(0, 10**13), st.floats(0, 1e9).map(lambda ms: round(ms, 1)), st.text(max_size=5)),
            max_size=KEPT_ATTEMPTS,
        ).map(tuple),
    ),
    max_size=4,
).map(Progress)


@given(progresses)
def test_what_is_written_is_read(progress: Progress) -> None:
    assert Progress.from_json(progress.to_json()) == progress


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["pending", "done", "dead", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(json_values | st.dictionaries(st.text(max_size=3), st.lists(json_values, min_size=3, max_size=3)))
@example({"a": [10**400, 0, "pending"]})
@example({"a": [0, 10**400, "pending"]})
def test_any_json_gives_progress_that_can_be_acted_on(value: Any) -> None:
    progress = Progress.from_json(json.dumps(value))
    for one in progress.handlers.values():
        assert one.state in ("pending", "done", "dead")
        assert one.tries >= 0
        assert math.isfinite(one.due * 1000)
    due = progress.next_due
    assert due is None or isinstance(int(due * 1000), int)


@given(st.text(max_size=50))
def test_any_text_gives_progress(text: str) -> None:
    Progress.from_json(text)


def made(**handlers: tuple[int, float, str]) -> Progress:
    return Progress({name: HandlerProgress(*parts) for name, parts in handlers.items()})


def test_the_next_try_is_the_earliest_pending_one() -> None:
    assert made(a=(1, 30.0, "pending"), b=(1, 20.0, "pending"), c=(1, 10.0, "done")).next_due == 20.0
    assert made(a=(1, 10.0, "done"), b=(3, 5.0, "dead")).next_due is None
    assert Progress().next_due is None


def test_failed_means_that_one_is_dead() -> None:
    assert made(a=(1, 0.0, "done"), b=(1, 0.0, "dead")).failed
    assert not made(a=(1, 0.0, "done"), b=(1, 0.0, "pending")).failed


def test_the_latest_attempts_are_kept_and_no_more() -> None:
    one = HandlerProgress()
    for number in range(KEPT_ATTEMPTS + 5):
        one.ended("pending", "timeout", float(number), 1.26)
    one.ended("done", "", 99.0, 2.0)
    assert (one.state, one.reason, len(one.attempts)) == ("done", "", KEPT_ATTEMPTS)
    assert one.attempts[0] == (6000, 1.3, "timeout")
    assert one.attempts[-1] == (99_000, 2.0, "done")
