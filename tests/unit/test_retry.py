"""The retry policy as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.retry import RetryPolicy

POLICY = RetryPolicy(retries=3, base=2.0, maximum=10.0)

# attempt, random number, what the handler asked for, expected delay
TABLE: dict[str, tuple[int, float, float | None, float | None]] = {
    "first failure, longest wait": (1, 1.0, None, 2.0),
    "first failure, half of it": (1, 0.5, None, 1.0),
    "first failure, at once": (1, 0.0, None, 0.0),
    "second failure doubles": (2, 1.0, None, 4.0),
    "third failure doubles again": (3, 1.0, None, 8.0),
    "that was the last try": (4, 1.0, None, None),
    "long after the last try": (99, 1.0, None, None),
    "asked for, kept exactly": (1, 0.3, 42.0, 42.0),
    "asked for more than the maximum": (2, 0.3, 3600.0, 3600.0),
    "asked for at once": (3, 0.9, 0.0, 0.0),
    "asked for after the last try": (4, 0.3, 1.0, None),
}


@pytest.mark.parametrize(("attempt", "number", "asked", "expected"), TABLE.values(), ids=TABLE.keys())
def test_delay(attempt: int, number: float, asked: float | None, expected: float | None) -> None:
    assert POLICY.delay(attempt, lambda: number, asked) == expected


def test_waits_are_capped() -> None:
    policy = RetryPolicy(retries=10_000, base=2.0, maximum=10.0)
    assert [policy.delay(attempt, lambda: 1.0) for attempt in (3, 4, 5, 100, 10_000)] == [8.0, 10.0, 10.0, 10.0, 10.0]


def test_no_retries() -> None:
    assert RetryPolicy(0, 1.0, 1.0).delay(1, lambda: 1.0) is None
    assert RetryPolicy(0, 1.0, 1.0).delay(1, lambda: 1.0, asked=5.0) is None


@given(st.integers(0, 200), st.integers(1, 300), st.floats(0, 1), st.floats(0.001, 3600), st.floats(0.001, 604800))
def test_delays_lie_between_zero_and_the_longest(
    retries: int, attempt: int, number: float, base: float, maximum: float
) -> None:
    delay = RetryPolicy(retries, base, maximum).delay(attempt, lambda: number)
    if attempt > retries:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= maximum
