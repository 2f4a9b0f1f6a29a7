"""Faults: how they are spelled, checked, and counted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from receiver.sandbox.faults import KINDS, Fault, Faults, from_json, spelled
from receiver.sandbox.problems import Problem


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *((kind, Fault(kind)) for kind in KINDS),
        ("dropx3", Fault("drop", times=3)),
        ("delay:2.5s", Fault("delay", seconds=2.5)),
        ("duplicate@10%", Fault("duplicate", probability=0.1)),
        ("delay:2sx3@50%", Fault("delay", times=3, probability=0.5, seconds=2)),
    ],
)
def test_spelling(text: str, fault: Fault) -> None:
    assert spelled(text) == fault
    assert from_json([fault.as_json()]) == [fault]


@pytest.mark.parametrize("text", ["", "explode", "dropx0", "drop@101%", "delay:2", "delay:1.2.3s", "drop x3", "dropx٣"])
def test_what_is_no_fault(text: str) -> None:
    with pytest.raises(ValueError, match="a fault is one of delay, drop"):
        spelled(text)


BAD: list[Any] = [
    None,
    {},
    ["drop"],
    [{}],
    [{"kind": "explode"}],
    [{"kind": ["drop"]}],
    [{"kind": "drop", "times": 0}],
    [{"kind": "drop", "times": True}],
    [{"kind": "drop", "times": 1.5}],
    [{"kind": "drop", "probability": 2}],
    [{"kind": "drop", "probability": "1"}],
    [{"kind": "delay", "seconds": -1}],
    [{"kind": "delay", "seconds": None}],
    [{"kind": "drop"}] * 101,
]


@pytest.mark.parametrize("value", BAD)
def test_bad_json(value: Any) -> None:
    with pytest.raises(Problem) as caught:
        from_json(value)
    assert caught.value.status == 422


def test_a_fault_strikes_as_often_as_it_says() -> None:
    faults = Faults(random.Random(1))
    faults.set("w", [Fault("drop", times=2), Fault("delay")])
    assert [bool(faults.take("w", "drop")) for _ in range(3)] == [True, True, False]
    assert faults.of("w") == [Fault("delay")]
    assert faults.take("w", "duplicate") is None
    assert faults.take("other", "delay") is None
    faults.set("w", [])
    assert faults.take("w", "delay") is None


def test_a_fault_strikes_as_probably_as_it_says() -> None:
    faults = Faults(random.Random(1))
    faults.set("w", [Fault("drop", probability=0.25)])
    assert 200 < sum(faults.take("w", "drop") is not None for _ in range(1000)) < 300
