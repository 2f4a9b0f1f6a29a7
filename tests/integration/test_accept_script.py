"""Contract of accept.lua: duplicates, lanes, priorities, and a job that RQ itself can read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis.exceptions import OutOfMemoryError
from rq import Queue
from rq.job import JobStatus
from rq.registry import DeferredJobRegistry

from receiver.embedded import EmbeddedRedis
from receiver.events import PRIORITIES
from receiver.layout import JOB_FUNCTION
from tests.support.scripts import LAYOUT, Scripts
from tests.support.wire import signature


def test_new_and_duplicate(scripts: Scripts) -> None:
    assert scripts.accept("a", "b", "a") == [1, 1, 0]
    assert scripts.accept("b", "c") == [0, 1]
    assert scripts.queue() == ["a", "b", "c"]
    assert scripts.counters() == {"accepted": 3, "duplicates": 2}


def test_the_deliveries_in_which_an_event_came_again_are_noted(scripts: Scripts) -> None:
    scripts.accept("a", delivery="dlv_0")
    assert scripts.field("a", "deliveries") is None
    for number in range(1, 15):
        scripts.accept("a", delivery=f"dlv_{number}")
    scripts.accept("a")  # one without a name counts, too
    assert scripts.field("a", "duplicates") == "15"
    noted = json.loads(scripts.field("a", "deliveries") or "")
    assert [name for name, _ in noted] == [f"dlv_{number}" for number in range(5, 15)]
    assert all(abs(at / 1000 - datetime.now(UTC).timestamp()) < 5 for _, at in noted)


@pytest.mark.parametrize("hostile", ["", "x", "7", "{}", "[" * 5000])
def test_hostile_deliveries_keep_nobody_from_accepting(scripts: Scripts, hostile: str) -> None:
    scripts.accept("a")
    scripts.client.hset("rq:job:a", "deliveries", hostile)
    assert scripts.accept("a", "b", delivery="dlv_1") == [0, 1]
    assert [name for name, _ in json.loads(scripts.field("a", "deliveries") or "")] == ["dlv_1"]


def test_rq_reads_the_job(scripts: Scripts) -> None:
    scripts.accept("a", body=b'{"id": "a"}')
    job = scripts.job("a")
    assert (job.func_name, job.args, job.kwargs, job.instance) == (JOB_FUNCTION, [], {}, None)
    assert (job.origin, job.description, job.get_status()) == ("hiloop", "response.created", JobStatus.QUEUED)
    now = datetime.now(UTC)
    for time in (job.created_at, job.enqueued_at):
        assert time is not None
        assert abs(now - time) < timedelta(seconds=5)
    assert (job.meta, job.timeout, job.result_ttl, job.dependency_ids) == ({}, None, None, [])
    assert scripts.field("a", "body") == '{"id": "a"}'
    assert scripts.field("a", "signature") == signature(b'{"id": "a"}').decode()
    assert Queue("hiloop", connection=scripts.client).job_ids == ["a"]


def test_a_job_does_not_expire_before_it_is_handled(scripts: Scripts) -> None:
    scripts.accept("a", "b", lane="s")
    assert [scripts.client.ttl(key) for key in scripts.keys_about("rq:")] == [-1] * len(scripts.keys_about("rq:"))
    assert 3500 < scripts.client.ttl(LAYOUT.own("seen:a")) <= 3600


@pytest.mark.parametrize("priority", PRIORITIES)
def test_each_priority_has_its_queue(scripts: Scripts, priority: str) -> None:
    scripts.accept("a", priority=priority)
    assert scripts.queue(priority) == ["a"]
    assert scripts.job("a").origin == LAYOUT.queue_for(priority)
    assert {queue.name for queue in Queue.all(connection=scripts.client)} == {LAYOUT.queue_for(priority)}


def test_events_of_one_session_wait_for_each_other(scripts: Scripts) -> None:
    scripts.accept("a", lane="s")
    scripts.accept("b", "c", lane="s")
    scripts.accept("x", lane="t")
    assert scripts.queue() == ["a", "x"]
    assert scripts.lane("s") == ["a", "b", "c"]
    assert [scripts.job(job).get_status() for job in "abc"] == ["queued", "deferred", "deferred"]
    registry = DeferredJobRegistry("hiloop", connection=scripts.client)
    assert sorted(registry.get_job_ids()) == ["b", "c"]


def test_a_session_keeps_its_order_across_priorities(scripts: Scripts) -> None:
    scripts.accept("a", lane="s", priority="low")
    scripts.accept("b", lane="s", priority="critical")
    assert (scripts.queue("low"), scripts.queue("critical")) == (["a"], [])
    assert scripts.members("deferred", "critical") == ["b"]


def test_without_a_lane_nothing_waits(scripts: Scripts) -> None:
    scripts.accept("a", "b", "c")
    assert scripts.queue() == ["a", "b", "c"]
    assert scripts.keys_about("lane") == []


def test_a_duplicate_is_one_long_after_the_event_was_handled(scripts: Scripts) -> None:
    scripts.accept("a", lane="s")
    scripts.close(scripts.claim(), "done")
    assert scripts.accept("a", lane="s") == [0]
    assert (scripts.queue(), scripts.keys_about("rq:job:"), scripts.lane("s")) == ([], [], [])


def test_after_the_window_an_event_is_new_again(scripts: Scripts) -> None:
    scripts.accept("a")
    scripts.close(scripts.claim(), "done")
    scripts.client.delete(LAYOUT.own("seen:a"))  # what the end of its window does
    assert scripts.accept("a") == [1]


def test_a_dead_letter_is_not_written_over_after_the_window(scripts: Scripts) -> None:
    scripts.accept("a", body=b'{"first": 1}')
    scripts.close(scripts.claim(), "dead", reason="handler_error", error="E at f")
    scripts.client.delete(LAYOUT.own("seen:a"))
    assert scripts.accept("a", body=b'{"second": 1}') == [0]
    assert scripts.field("a", "body") == '{"first": 1}'
    assert (scripts.field("a", "status"), scripts.members("failed"), scripts.queue()) == ("failed", ["a"], [])


def test_a_waiting_worker_is_woken_once_a_batch(scripts: Scripts, redis_server: EmbeddedRedis) -> None:
    with redis_server.client() as other, other.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(LAYOUT.own("wake:worker-a"))
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        scripts.advance(5)  # finds nothing, so it waits
        scripts.accept("a", "b", "c")
        assert subscription.get_message(timeout=5)["type"] == "message"
        scripts.accept("d")  # nobody waits any more
        assert subscription.get_message(timeout=0.05) is None


def test_names_of_dead_workers_do_not_keep_others_asleep(scripts: Scripts, redis_server: EmbeddedRedis) -> None:
    with redis_server.client() as other, other.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(LAYOUT.own("wake:worker-a"))
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        scripts.client.sadd(LAYOUT.own("waiting"), "gone-1", "worker-a", "gone-2", "gone-3")
        scripts.accept("a")
        assert subscription.get_message(timeout=5)["type"] == "message"


def test_full_memory_refuses_the_whole_batch(own_redis: EmbeddedRedis) -> None:
    with own_redis.client() as client:
        scripts = Scripts(client)
        scripts.accept("a", "b", lane="s")
        claim = scripts.claim()
        scripts.heartbeat(birth=1)
        client.config_set("maxmemory", 1)
        keys = client.dbsize()
        with pytest.raises(OutOfMemoryError):
            scripts.accept("c", "d")
        assert client.dbsize() == keys
        # What frees memory goes on: heartbeats, closing, claiming.
        assert scripts.heartbeat() == 1
        assert scripts.close(claim, "done") == 1
        assert scripts.claim().job == "b"


def test_times_are_those_of_rq(scripts: Scripts, redis_client: redis.Redis) -> None:
    scripts.accept("a")
    assert redis_client.hget("rq:job:a", "created_at") is not None
    text = (scripts.field("a", "created_at") or "").replace("Z", "+00:00")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(seconds=5)
    assert len(text) == len("2026-11-22T13:30:17.123000+00:00")


def test_the_same_answer_under_another_id_is_marked(scripts: Scripts) -> None:
    assert scripts.accept("first", answer="d1") == [1]
    assert scripts.accept("copy", "another copy", answer="d1") == [1, 1]
    assert scripts.accept("other", answer="d2") == [1]
    assert scripts.accept("first", answer="d1") == [0]
    marks = {event: scripts.field(event, "copy_of") for event in ("first", "copy", "another copy", "other")}
    assert marks == {"first": None, "copy": "first", "another copy": "first", "other": None}
    assert [(one.job, one.copy_of) for one in scripts.advance(4).claimed] == [
        ("first", ""), ("copy", "first"), ("another copy", "first"), ("other", ""),
    ]  # fmt: skip


def test_a_copy_wakes_a_worker_that_waits_and_is_not_handed_over_without_its_mark(scripts: Scripts) -> None:
    scripts.accept("first", answer="d1")
    scripts.claim()
    scripts.advance(1)
    listener = scripts.client.pubsub()
    listener.subscribe(LAYOUT.own("wake:worker-a"))
    listener.get_message(timeout=5)
    scripts.accept("copy", answer="d1")
    message = listener.get_message(timeout=5)
    listener.close()
    assert message is not None
    assert message["data"] == b""
    assert scripts.claim().copy_of == "first"


def test_an_answer_is_remembered_as_long_as_its_event(scripts: Scripts) -> None:
    scripts.accept("first", answer="d1", window=100)
    ages = [scripts.client.ttl(LAYOUT.own(name)) for name in ("seen:first", "answer:d1")]
    assert ages == [100, 100]
