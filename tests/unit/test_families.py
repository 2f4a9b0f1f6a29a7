"""What is shown to Prometheus: right sums and buckets, names after its conventions, an end to labels."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from receiver import errors
from receiver.attempts import BOUNDS_MS, HandlerCounts
from receiver.errors import RequestError
from receiver.families import MAX_HANDLERS, Numbers, families
from receiver.layout import DEAD_REASONS, Layout
from receiver.ledger import Status, WorkerState
from tests.support.processes import ROOT

STATUS = Status(
    depth=dict.fromkeys(Layout().queues, 2),
    waiting=9,
    deferred=1,
    in_flight=3,
    retrying=4,
    dead=5,
    dead_bytes=600,
    kept=7,
    oldest_waiting=8.5,
    accept_rate=0.0,
    handle_rate=0.0,
    latency_ms={},
    counters={},
    workers=tuple(WorkerState(f"w{n}", "host", n, "idle", 0, 100, 0, 0.0) for n in range(2)),
    suspended=False,
    memory=1000,
    memory_limit=0,
)


class Once(Collector):
    def __init__(self, made: list[Metric]) -> None:
        self.made = made

    def collect(self) -> list[Metric]:
        return self.made


def shown(
    counters: dict[str, int] | None = None,
    handlers: dict[str, HandlerCounts] | None = None,
    dead: dict[str, int] | None = None,
    **status: Any,
) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and labels, after they went through the strict parser of OpenMetrics."""
    numbers = Numbers(replace(STATUS, counters=counters or {}, **status), handlers or {}, dead or {})
    registry = CollectorRegistry()
    registry.register(Once(list(families(numbers))))
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_numbers_of_now() -> None:
    found = shown(dead={"timeout": 5})
    assert found["hiloop_up"] == {(): 1}
    assert found["hiloop_queue_depth"] == {(name,): 2 for name in ("critical", "high", "normal", "low")}
    assert found["hiloop_oldest_waiting_seconds"] == {(): 8.5}
    assert (found["hiloop_workers"], found["hiloop_worker_slots"]) == ({(): 2}, {(): 200})
    assert found["hiloop_dead_letters"][("timeout",)] == 5
    assert shown(oldest_waiting=None)["hiloop_oldest_waiting_seconds"] == {(): 0}


def test_without_redis_it_says_so_and_nothing_else() -> None:
    assert {family.name for family in families(None)} == {"hiloop_build", "hiloop_up"}
    assert [family.samples[0].value for family in families(None) if family.name == "hiloop_up"] == [0]


def test_every_reason_is_there_before_it_has_happened() -> None:
    found = shown()
    refused = {reason for (reason,) in found["hiloop_requests_refused_total"]}
    assert refused >= {"bad_token", "bad_signature", "disconnected", "payload_too_large", "queue_unavailable"}
    assert "unauthorized" not in refused
    assert len(refused) == len(RequestError.__subclasses__()) + 3
    assert {reason for (reason,) in found["hiloop_events_dead_total"]} == {*DEAD_REASONS, "other"}
    assert set(found["hiloop_dead_letters"]) == set(found["hiloop_events_dead_total"])


def test_no_reason_of_a_dead_letter_is_forgotten() -> None:
    """What the errors and the code that buries events call it."""
    named = {error.reason for error in vars(errors).values() if isinstance(getattr(error, "reason", None), str)}
    for path in (*ROOT.glob("workers/*.py"), *ROOT.glob("workers/lua/*.lua")):
        source = path.read_text("utf-8")
        named |= set(re.findall(r"(?:bury\(job, queue, .*now|_close_unopened\(claimed), ['\"](\w+)['\"]", source))
        named |= set(re.findall(r"(?:_end_failure\(|reason, run\.error = )['\"](\w+)['\"]", source))
    assert len(named) > 9
    assert named - {"open_error"} <= set(DEAD_REASONS)


def test_reasons_that_nobody_knows_are_one() -> None:
    counters = {f"refused:x{number}": 1 for number in range(5000)} | {"refused": 5002, "refused:bad_token": 2}
    found = shown(counters)["hiloop_requests_refused_total"]
    assert (found[("bad_token",)], found[("other",)], len(found) < 30) == (2, 5000, True)


def test_latencies_are_a_histogram_in_seconds() -> None:
    found = shown({"ms:0": 1, "ms:1": 2, "ms:4": 3, "ms:5": 4, "ms:900": 5, "ms:x": 6, "milliseconds": 2500})
    buckets = found["hiloop_event_duration_seconds_bucket"]
    assert [buckets[(le,)] for le in ("0.001", "0.002", "0.004", "2097.152", "+Inf")] == [1, 6, 10, 10, 15]
    assert found["hiloop_event_duration_seconds_count"] == {(): 15}
    assert found["hiloop_event_duration_seconds_sum"] == {(): 2.5}


def test_attempts_by_handler() -> None:
    counts = HandlerCounts()
    counts.note("done", 3, retried=False)
    counts.note("timeout", 60_001, retried=True)
    found = shown(handlers={"h": counts})
    assert found["hiloop_handler_attempts_total"][("h", "done")] == 1
    assert found["hiloop_handler_attempts_total"][("h", "timeout")] == 1
    assert found["hiloop_handler_retries_total"] == {("h",): 1}
    buckets = found["hiloop_handler_duration_seconds_bucket"]
    assert len(buckets) == len(BOUNDS_MS) + 1
    assert [buckets[("h", le)] for le in ("0.001", "0.005", "60.0", "300.0")] == [0, 1, 1, 2]
    assert found["hiloop_handler_duration_seconds_sum"] == {("h",): pytest.approx(60.004)}


def test_there_is_an_end_to_handlers() -> None:
    handlers = {f"h{number}": HandlerCounts(retried=number) for number in range(5000)}
    handlers["busy"] = HandlerCounts(retried=7)
    handlers["busy"].note("done", 1, retried=False)
    retries = shown(handlers=handlers)["hiloop_handler_retries_total"]
    assert (len(retries), retries[("busy",)]) == (MAX_HANDLERS, 7)


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["ms:1", "dead:", "refused:"]), st.integers(0, 10**18)))
def test_any_counters_can_be_read(counters: dict[str, int]) -> None:
    assert shown(counters)["hiloop_up"] == {(): 1}


@given(st.text(max_size=20))
def test_any_name_of_a_handler_can_be_read(name: str) -> None:
    counts = HandlerCounts()
    counts.note("done", 1, retried=False)
    found = shown(handlers={name: counts})["hiloop_handler_attempts_total"]
    assert found[(name, "done")] == 1


UNITS = {"milliseconds", "ms", "minutes", "hours", "kilobytes", "megabytes", "percent"}


def test_names_follow_the_conventions() -> None:
    """What `promtool check metrics` looks at."""
    numbers = Numbers(STATUS, {"h": HandlerCounts()}, {})
    made = list(families(numbers))
    names = [family.name for family in made]
    assert len(set(names)) == len(names) > 25
    for family in made:
        assert re.fullmatch(r"hiloop_[a-z]+(_[a-z]+)*", family.name)
        assert not set(family.name.split("_")) & UNITS, "base units only"
        assert not set(family.name.split("_")) & {"counter", "gauge", "histogram", "total", "count", "sum", "bucket"}
        assert family.documentation.endswith((".", "shown.", "none does.", "limit."))
        assert ("_seconds" in family.name) == family.name.endswith("_seconds")
        assert ("_bytes" in family.name) == family.name.endswith("_bytes")
        for sample in family.samples:
            assert not {label for label in sample.labels if not re.fullmatch(r"[a-z]+", label)}
