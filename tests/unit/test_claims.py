"""What a claim tells: how long its event took from its POST, whatever hostile stands in the time of its acceptance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.claims import Claimed

NOW_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z


def claimed(accepted_at: str, replay: str = "") -> Claimed:
    return Claimed("job", "execution", b"{}", b"", "", 1, replay, accepted_at)


TIMES = [
    ("2027-01-15T07:59:59.500000Z", 500.0),
    ("2027-01-15T07:00:00Z", 3_600_000.0),
    ("2027-01-15T08:00:01Z", 0.0),
    ("2027-01-15T08:00:00", None),
    ("", None),
    ("yesterday", None),
    ("2027-02-30T08:00:00Z", None),
]


@pytest.mark.parametrize(("accepted_at", "latency"), TIMES)
def test_latency(accepted_at: str, latency: float | None) -> None:
    assert claimed(accepted_at).latency(NOW_MS) == latency


def test_a_replay_has_none() -> None:
    assert claimed("2027-01-15T07:59:59Z", '{"id": "rpl_1"}').latency(NOW_MS) is None


@given(st.text(max_size=40) | st.datetimes().map(lambda time: time.isoformat() + "Z"))
def test_any_text_gives_a_latency_or_none(text: str) -> None:
    latency = claimed(text).latency(NOW_MS)
    assert latency is None or latency >= 0
