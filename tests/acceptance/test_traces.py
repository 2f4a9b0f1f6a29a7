"""Traces: one from the webhook through the queue to each attempt, sent over HTTP to a collector by both processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.collector import Collector, Span
from tests.support.processes import CANARY, ROOT, SETTINGS, free_port
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

PRODUCER, CONSUMER, INTERNAL = 4, 5, 1
CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"
HANDLERS = {"HILOOP_HANDLERS": "tests.support.traced_handlers"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where the processes send their spans."""
    with Collector() as running:
        yield running


def test_one_trace_from_the_webhook_to_each_attempt(
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    web_of: StartProcess,
    worker_of: StartProcess,
    collector: Collector,
) -> None:
    web = web_of(redis_server.url, collector.settings)
    body = answer("canary-answer", event_id="evt_1", session_id="s-1", priority="High")
    # A stranger begins no trace.
    assert post(web.port, body, secret="wrong-secret", change={"traceparent": TRACEPARENT}).status == 401
    # Before there is a worker, so that it claims from the line; and then one that is handed over.
    assert post(web.port, body, change={"traceparent": TRACEPARENT}).status == 202
    worker = worker_of(redis_server.url, {**collector.settings, **HANDLERS})
    wait_until(lambda: len(collector.named("handle hiloop")) == 2)
    wait_until(lambda: redis_client.scard("hiloop:hiloop:waiting") == 1)
    assert post(web.port, answer("x", event_id="evt_2")).status == 202
    wait_until(lambda: len(collector.named("handle hiloop")) == 4)
    assert worker.stop() == 0
    web.stop()

    accepted, second = collector.named("accept hiloop")
    assert accepted.trace not in (second.trace, CALLERS_TRACE)
    assert (accepted.parent, accepted.links) == ("", (CALLERS_TRACE,))
    assert second.links == ()
    for one, event in ((accepted, "evt_1"), (second, "evt_2")):
        assert_complete([span for span in collector.spans if span.trace == one.trace], event)
    assert accepted.attributes["messaging.message.conversation_id"] == "s-1"
    assert accepted.attributes["messaging.message.body.size"] == len(body)
    assert accepted.attributes["hiloop.priority"] == "high"
    assert f"trace_id={accepted.trace}" in web.log
    assert f"trace_id={accepted.trace}" in worker.log
    assert len(collector.spans) == 18, "nothing but the two traces"
    assert b"canary" not in collector.raw
    assert CANARY.encode() not in collector.raw


def assert_complete(trace: list[Span], event: str) -> None:
    """One acceptance, two runs of it, three attempts in these, and the users' spans in their attempts."""
    by_id = {span.id: span for span in trace}
    (accept,) = [span for span in trace if span.kind == PRODUCER]
    runs = [span for span in trace if span.kind == CONSUMER]
    assert (accept.service, {run.service for run in runs}) == ("hiloop-receiver-web", {"hiloop-receiver-worker"})
    assert [run.parent for run in runs] == [accept.id] * 2
    assert [run.attributes["hiloop.outcome"] for run in runs] == ["retry", "done"]
    for span in (accept, *runs):
        assert span.attributes["messaging.message.id"] == event
        assert span.attributes["messaging.system"] == "rq"
    assert accept.attributes["messaging.operation.type"] == "send"
    assert runs[0].attributes["messaging.operation.type"] == "process"
    asks = [span for span in trace if span.name == "handle tests.support.traced_handlers.asks"]
    writes = [span for span in trace if span.name == "handle tests.support.traced_handlers.writes"]
    assert [(one.attributes["hiloop.outcome"], one.failed) for one in asks] == [("retry", True), ("done", False)]
    assert asks[0].attributes["error.type"] == "KeyError"
    assert [one.parent for one in asks] == [run.id for run in runs]
    assert [one.parent for one in writes] == [runs[0].id]
    inner = [span for span in trace if span.name.startswith("in the ")]
    assert sorted(by_id[span.parent].name for span in inner) == sorted(one.name for one in (*asks, *writes))
    assert {span.events for span in trace if span not in inner} == {0}
    assert all(span.ms >= 0 for span in trace)


def test_a_dead_letter_and_a_duplicate_say_so(
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    web_of: StartProcess,
    worker_of: StartProcess,
    collector: Collector,
) -> None:
    web = web_of(redis_server.url, collector.settings)
    worker_of(redis_server.url, {**collector.settings, "HILOOP_RETRIES": "0"})
    body = answer({"do": "fail"}, event_id="evt_1")
    assert [post(web.port, body).status for _ in range(2)] == [202, 200]
    wait_until(lambda: len(collector.named("accept hiloop")) == 2 and collector.named("handle hiloop"))
    assert [span.attributes["hiloop.outcome"] for span in collector.named("accept hiloop")] == ["accepted", "duplicate"]
    (run,) = collector.named("handle hiloop")
    assert (run.failed, run.attributes["hiloop.outcome"], run.attributes["error.type"]) == (
        True,
        "dead",
        "handler_error",
    )


def test_a_collector_that_is_away_holds_up_nothing(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess
) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    web, worker = web_of(redis_server.url, nowhere), worker_of(redis_server.url, {**nowhere, **HANDLERS})
    assert post(web.port, answer("x", event_id="evt_1")).status == 202
    wait_until(lambda: redis_client.hget("rq:job:evt_1", "status") == b"finished")
    started = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - started < 5


# What the environment asks for → whether OpenTelemetry is loaded.
WANTED = {
    "nothing": ({}, False),
    "an endpoint": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
    "one for traces": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
    "switched off": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False),
    "no traces": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, False),
}


@pytest.mark.parametrize(("environment", "loaded"), WANTED.values(), ids=WANTED.keys())
def test_nothing_is_loaded_unless_it_is_asked_for(environment: dict[str, str], loaded: bool) -> None:
    program = (
        "import os, sys; from receiver.tracing import start_tracing; found = start_tracing(os.environ, 'web', 'q');"
        "print(found is not None, 'opentelemetry.sdk' in sys.modules); sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT), **SETTINGS, **environment}, capture_output=True
    )
    assert done.stdout.split() == [str(loaded).encode()] * 2, done.stderr


def test_without_opentelemetry_there_is_a_hint_and_no_trace() -> None:
    program = (
        "import os, sys; sys.modules['opentelemetry.exporter'] = None; from receiver.logs import set_up_logs;"
        "from receiver.tracing import start_tracing; set_up_logs(20, 'text');"
        "sys.exit(start_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}, 'web', 'q') is not None)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"pip install 'hiloop-receiver[otel]'" in done.stdout
