"""Whether and when a call is made again."""

from __future__ import annotations

import pytest

from receiver.client.retries import Retries
from receiver.errors import ConnectionFailed, HiloopError, MalformedAnswer, RateLimited, TimedOut

POLICY = Retries(attempts=5, base=0.5, longest=8.0, longest_wait=60.0)


@pytest.mark.parametrize(
    ("failure", "attempt", "random", "pause"),
    [
        pytest.param(ConnectionFailed("x"), 1, 1.0, 0.5, id="first pause is up to base"),
        pytest.param(ConnectionFailed("x"), 1, 0.0, 0.0, id="full jitter begins at nothing"),
        pytest.param(ConnectionFailed("x"), 2, 0.5, 0.5, id="then doubles"),
        pytest.param(ConnectionFailed("x"), 4, 1.0, 4.0, id="and doubles"),
        pytest.param(ConnectionFailed("x"), 5, 1.0, None, id="until the tries are used up"),
        pytest.param(TimedOut("x"), 1, 1.0, 0.5, id="timeout"),
        pytest.param(TimedOut("x", status=408), 1, 1.0, 0.5, id="408"),
        pytest.param(RateLimited("x", status=429), 1, 1.0, 0.5, id="429"),
        pytest.param(RateLimited("x", status=429, retry_after=20), 1, 1.0, 20.5, id="Retry-After is honoured"),
        pytest.param(RateLimited("x", status=429, retry_after=61), 1, 1.0, None, id="but not for ever"),
        pytest.param(HiloopError("x", status=500), 1, 1.0, 0.5, id="500"),
        pytest.param(HiloopError("x", status=503, retry_after=1), 1, 0.0, 1.0, id="503 with Retry-After"),
        pytest.param(HiloopError("x", status=409), 1, 1.0, None, id="409"),
        pytest.param(HiloopError("x"), 1, 1.0, None, id="refused before it was sent"),
        pytest.param(MalformedAnswer("x", status=200), 1, 1.0, None, id="malformed"),
    ],
)
def test_pause(failure: HiloopError, attempt: int, random: float, pause: float | None) -> None:
    assert POLICY.pause(failure, attempt, lambda: random) == pause


def test_backoff_stays_within_its_bound() -> None:
    assert POLICY.backoff(ConnectionFailed("x"), 10_000, lambda: 1.0) == 8.0
