"""Single turns of a worker's main thread, at moments that no process under test would meet reliably."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from rq.utils import now
from structlog.typing import EventDict

from receiver.embedded import EmbeddedRedis
from receiver.ledger import Ledger
from receiver.scripts import load_script
from receiver.settings import WorkerSettings
from tests.support.scripts import LAYOUT, Scripts
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, SECRET
from workers import OpenedEvent, Registry
from workers.claims import Claimed
from workers.run import make_worker
from workers.worker import HiloopWorker


@pytest.fixture
def worker(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> Iterator[HiloopWorker]:
    """A worker after its first heartbeat, whose turns the test takes."""
    settings = WorkerSettings(
        redis_url=redis_server.url, webhook_secrets=(SECRET.encode(),), api_key=API_KEY, handlers=("-",)
    )
    registry = Registry()

    @registry.on()
    async def handler(event: OpenedEvent) -> None: ...

    made = make_worker(settings, registry)
    made._loop.start()
    made.birth_date = now()
    made._turn()
    assert made._born
    yield made
    made._wakeup.close()
    made._loop.stop()
    made.connection.close()


def test_a_signal_during_a_step_still_takes_the_worker_off_the_list_of_waiting_ones(
    worker: HiloopWorker, redis_client: redis.Redis
) -> None:
    real = worker._advance

    def interrupted(**arguments: Any) -> Any:
        reply = real(**arguments)
        worker._on_signal(signal.SIGTERM, None)  # Redis has counted on us, and we do not know yet
        return reply

    worker._advance = interrupted
    worker._look = True
    worker._held["other:1"] = claimed("other")  # so it does not end at once
    worker._turn()
    worker._advance = real
    assert redis_client.smembers(LAYOUT.own("waiting")) == {worker.name.encode()}
    worker._turn()
    assert redis_client.smembers(LAYOUT.own("waiting")) == set()
    worker._held.clear()


def test_a_lost_reply_is_asked_for_again(
    worker: HiloopWorker, redis_client: redis.Redis, scripts: Scripts, logged: list[EventDict]
) -> None:
    real = worker._advance

    def lost(**arguments: Any) -> Any:
        real(**arguments)
        raise redis.ConnectionError("canary")

    scripts.accept("a", "b")
    worker._advance, worker._look = lost, True
    worker._turn()
    assert (worker._held, len(scripts.members("wip"))) == ({}, 2)
    worker._advance = real
    worker._turn()
    assert {one.job_id for one in worker._held.values()} == {"a", "b"}
    assert len(scripts.members("wip")) == 2
    assert "canary" not in str(logged)
    assert "redis is available again" in str(logged)


def claimed(job: str) -> Claimed:
    """An event in flight."""
    return Claimed(job, "1", b"", b"", "", 1, False, "")


@pytest.mark.parametrize("why", ["full", "stopping", "alone"])
def test_a_worker_that_can_take_nothing_sleeps(worker: HiloopWorker, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    worker._held = {f"job-{number}:1": claimed(f"job-{number}") for number in range(100 if why == "full" else 1)}
    worker._alone = why == "alone"
    if why == "stopping":
        worker._on_signal(signal.SIGTERM, None)
        worker._turn()  # says so to Redis
    assert worker._free_slots() == 0
    monkeypatch.setattr(worker._wakeup, "wait", wait)
    worker._poll_due = 0.0  # the time to look again has come
    for _ in range(5):
        worker._turn()
        worker._wait()
    assert min(waits) > 0.1, waits
    worker._held.clear()


def test_a_report_whose_answer_was_lost_is_counted_once(worker: HiloopWorker, redis_client: redis.Redis) -> None:
    ledger = Ledger(redis_client, LAYOUT)
    tally, real = worker._loop.dispatcher.tally, worker._tell

    def lost(**arguments: Any) -> Any:
        real(**arguments)
        raise redis.ConnectionError("canary")

    worker._tell = lost
    for _ in range(3):  # the answer is lost again and again, and meanwhile there is more to tell
        tally.note_attempt("h", "done", 1.0, retried=False)
        tally.note_handled(5.0)
        worker._report_tally()
    assert ledger.handlers()["h"].attempts == 1
    worker._tell = real
    worker._report_tally()
    assert ledger.handlers()["h"].attempts == 3
    assert ledger.counters()["milliseconds"] == 15
    assert redis_client.hget(f"rq:worker:{worker.name}", "successful_job_count") == b"3"


def test_what_was_done_is_told_about_once_a_second_and_at_the_stop(
    worker: HiloopWorker, redis_client: redis.Redis
) -> None:
    told: list[Any] = []
    real = worker._tell

    def noted(**arguments: Any) -> Any:
        told.append(arguments["args"])
        return real(**arguments)

    worker._tell, worker._tally_due = noted, 0.0
    for _ in range(20):
        worker._loop.dispatcher.tally.note_attempt("h", "done", 1.0, retried=False)
        worker._turn()
    assert len(told) <= 2, "20 attempts were as many reports"
    worker._say_goodbye()
    assert Ledger(redis_client, LAYOUT).handlers()["h"].attempts == 20


def test_what_a_web_process_of_another_version_hands_over_is_asked_for(
    worker: HiloopWorker, redis_client: redis.Redis, scripts: Scripts
) -> None:
    accept = load_script(LAYOUT, "receiver", "accept")
    other = accept.replace(", time, traceparent})", ", time})")
    assert other != accept
    scripts._accept = redis_client.register_script(other)
    worker._wait()  # subscribes
    worker._look = True
    worker._turn()
    assert redis_client.sismember(LAYOUT.own("waiting"), worker.name)

    scripts.accept("a")
    status = Ledger(redis_client, LAYOUT).status
    assert status().in_flight == 1
    wait_until(lambda: (worker._wait(), worker._turn(), status().in_flight == 0)[-1])
    assert status().dead == 1  # it holds nothing that could be handled
