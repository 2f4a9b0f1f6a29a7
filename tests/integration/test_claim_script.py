"""Contract of advance.lua, claiming: order, lanes, priorities, retries that are due, suspension, lost replies."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from rq.executions import Execution
from rq.job import JobStatus
from rq.registry import StartedJobRegistry

from receiver.events import PRIORITIES
from tests.support.scripts import LAYOUT, Claim, Scripts
from tests.support.waiting import wait_until
from tests.support.wire import signature


def test_a_claim_is_complete(scripts: Scripts) -> None:
    scripts.accept("a", lane="s", body=b'{"x": 1}')
    (claim,) = scripts.advance(5).claimed
    assert (claim.job, claim.body, claim.signature, claim.progress, claim.claims, claim.replay) == (
        "a",
        b'{"x": 1}',
        signature(b'{"x": 1}'),
        "",
        1,
        "",
    )
    assert claim.accepted_at == scripts.field("a", "created_at")
    job = scripts.job("a")
    assert (job.get_status(), job.worker_name) == (JobStatus.STARTED, "worker-a")
    assert scripts.queue() == []
    assert scripts.members("wip") == [claim.key]
    execution = Execution.fetch(claim.execution, "a", scripts.client)
    assert (execution.worker_name, execution.job_id) == ("worker-a", "a")
    assert scripts.client.smembers("rq:worker:worker-a:executions") == {claim.key.encode()}


def test_rqs_maintenance_takes_no_claim_back(scripts: Scripts) -> None:
    scripts.accept("a")
    scripts.claim()
    registry = StartedJobRegistry("hiloop", connection=scripts.client)
    registry.cleanup(timestamp=time.time() + 1e9)
    assert registry.get_job_ids() == ["a"]
    assert scripts.queue() == []


def test_claims_are_taken_in_order_and_no_more_than_wanted(scripts: Scripts) -> None:
    scripts.accept(*"abcde")
    assert scripts.advance(2).jobs == ["a", "b"]
    assert scripts.advance(0).jobs == []
    assert scripts.advance(64).jobs == ["c", "d", "e"]
    assert scripts.advance(64).jobs == []


def test_each_event_is_claimed_once_by_many_workers(scripts: Scripts) -> None:
    events = [f"e{number}" for number in range(200)]
    scripts.accept(*events)

    def work(name: str) -> list[str]:
        mine: list[str] = []
        while jobs := scripts.advance(3, worker=name).jobs:
            mine += jobs
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [job for jobs in pool.map(work, "abcd") for job in jobs]
    assert sorted(claimed) == sorted(events)


def test_executions_differ(scripts: Scripts) -> None:
    scripts.accept(*"abc")
    first = scripts.advance(64).claimed
    scripts.advance(closings=[claim.closing("release") for claim in first])
    second = scripts.advance(64).claimed
    assert len({claim.execution for claim in first + second}) == 6


@pytest.mark.parametrize("verb", ["done", "dead"])
def test_the_next_of_a_session_comes_when_the_one_before_has_ended(scripts: Scripts, verb: str) -> None:
    scripts.accept(*"abc", lane="s")
    scripts.accept("x", lane="t")
    first, other = scripts.advance(64).claimed
    assert (first.job, other.job) == ("a", "x")
    assert scripts.advance(64).jobs == []
    step = scripts.advance(64, closings=[first.closing(verb, reason="r", error="e")])
    assert (step.answers, step.jobs) == ([1], ["b"])
    assert scripts.members("deferred") == ["c"]


def test_a_session_waits_while_its_first_event_waits_for_a_retry(scripts: Scripts) -> None:
    scripts.accept(*"ab", lane="s")
    claim = scripts.claim()
    step = scripts.advance(64, closings=[claim.closing("retry", due=time.time() + 0.15, progress="{}")])
    assert step.jobs == []
    assert 0 < step.next_due / 1000 - time.time() < 0.2
    assert scripts.job("a").get_status() == JobStatus.SCHEDULED
    jobs = wait_until(lambda: scripts.advance(64).jobs)
    assert jobs == ["a"]
    assert scripts.members("scheduled") == []


def test_retries_that_are_due_are_promoted(scripts: Scripts) -> None:
    scripts.accept("a", priority="low")
    scripts.accept("b")
    now = time.time()
    low, normal = sorted(scripts.advance(64).claimed, key=lambda claim: claim.job)
    step = scripts.advance(
        closings=[low.closing("retry", due=now + 30, progress='{"h":1}'), normal.closing("retry", due=now - 1)]
    )
    assert abs(step.next_due / 1000 - (now + 30)) < 0.1, "the next one's time is known"
    assert scripts.queue() == ["b"]
    assert scripts.queue("low") == []
    scripts.client.zadd("rq:scheduled:hiloop-low", {"a": now - 5})
    step = scripts.advance(64)
    assert (sorted(step.jobs), step.next_due) == (["a", "b"], -1)
    assert {claim.job: claim.progress for claim in step.claimed} == {"a": '{"h":1}', "b": ""}
    assert {claim.claims for claim in step.claimed} == {2}


def test_a_scheduled_job_that_was_deleted_is_forgotten(scripts: Scripts) -> None:
    scripts.accept("a")
    scripts.close(scripts.claim(), "retry", due=time.time() - 1)
    scripts.client.delete("rq:job:a")
    scripts.client.lrem("rq:queue:hiloop", 0, "a")
    scripts.client.zadd("rq:scheduled:hiloop", {"a": 1})
    assert (scripts.advance(64).jobs, scripts.members("scheduled")) == ([], [])


def test_priorities_come_in_order(scripts: Scripts) -> None:
    for priority in reversed(PRIORITIES):
        scripts.accept(f"{priority}-1", priority=priority)
    assert scripts.advance(4).jobs == [f"{priority}-1" for priority in PRIORITIES]


@pytest.mark.parametrize("want", [1, 7, 64])
def test_no_priority_starves(scripts: Scripts, want: int) -> None:
    for priority in PRIORITIES:
        scripts.accept(*(f"{priority}-{number}" for number in range(640)), priority=priority)
    claimed: list[str] = []
    while len(claimed) < 320:
        claimed += scripts.advance(want).jobs
    shares = Counter(job.split("-")[0] for job in claimed[:320])
    assert shares["critical"] > 240
    assert all(8 <= shares[priority] <= 24 for priority in ("high", "normal", "low")), shares
    for priority in PRIORITIES:
        mine = [int(job.split("-")[1]) for job in claimed if job.startswith(f"{priority}-")]
        assert mine == sorted(mine)


def test_suspension(scripts: Scripts) -> None:
    scripts.heartbeat(birth=1)
    scripts.accept("a", "b")
    claim = scripts.claim()
    scripts.client.set("rq:suspended", 1)
    step = scripts.advance(64, closings=[claim.closing("done")])
    assert (step.answers, step.jobs, step.suspended) == ([1], [], True)
    assert scripts.client.hget("rq:worker:worker-a", "state") == b"suspended"
    scripts.client.delete("rq:suspended")
    step = scripts.advance(64)
    assert (step.jobs, step.suspended) == (["b"], False)
    assert scripts.client.hget("rq:worker:worker-a", "state") == b"busy"


def test_a_lost_reply_is_told_again(scripts: Scripts) -> None:
    scripts.accept(*"abc")
    known = scripts.claim()
    lost = scripts.advance(64).claimed  # the worker never gets this reply
    step = scripts.advance(0, resync=[known.key])
    assert sorted(step.claimed, key=lambda claim: claim.job) == lost
    assert scripts.members("wip") == sorted([known.key, *(claim.key for claim in lost)])
    assert scripts.advance(0, resync=[known.key, *(claim.key for claim in lost)]).jobs == []


def test_a_lost_reply_to_closings_closes_nothing_twice(scripts: Scripts) -> None:
    scripts.accept(*"ab", lane="s")
    claim = scripts.claim()
    closings = [claim.closing("done")]
    (lost,) = scripts.advance(1, closings=closings, in_flight=0).claimed
    step = scripts.advance(1, closings=closings, in_flight=0, resync=[claim.key])
    assert (step.answers, step.jobs) == ([0], ["b"])
    assert step.claimed == [lost]
    assert scripts.counters()["handled"] == 1


@pytest.mark.parametrize("others", [0, 5])
def test_what_does_not_fit_wakes_another_worker(scripts: Scripts, redis_client: redis.Redis, others: int) -> None:
    scripts.accept("a", "b")
    with redis_client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(LAYOUT.own("wake:worker-b"))
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        redis_client.sadd(LAYOUT.own("waiting"), "worker-b", *(f"gone-{number}" for number in range(others)))
        scripts.advance(1)
        assert subscription.get_message(timeout=5)["type"] == "message"
        scripts.advance(1, worker="worker-b")
        assert subscription.get_message(timeout=0.05) is None


def test_a_full_worker_is_not_woken(scripts: Scripts) -> None:
    scripts.accept("a")
    scripts.advance(1)
    assert scripts.client.smembers(LAYOUT.own("waiting")) == set()
    scripts.advance(1)
    assert scripts.client.smembers(LAYOUT.own("waiting")) == {b"worker-a"}
    scripts.advance(0)
    assert scripts.client.smembers(LAYOUT.own("waiting")) == set()


def states(scripts: Scripts, *jobs: str) -> list[str]:
    return [str(scripts.field(job, "status")) for job in jobs]


def test_an_entry_left_over_in_a_line_is_dropped(scripts: Scripts) -> None:
    scripts.accept("a", "b")
    scripts.client.rpush("rq:queue:hiloop", "a", "nowhere")
    assert scripts.advance(64).jobs == ["a", "b"]
    assert states(scripts, "a", "b") == ["started", "started"]


def test_a_job_requeued_from_outside_waits_for_its_turn(scripts: Scripts) -> None:
    scripts.accept(*"abc", lane="s")
    scripts.close(scripts.claim(), "dead", reason="r", error="e")
    claim = scripts.claim()
    assert claim.job == "b"
    scripts.job("a").requeue()
    assert scripts.advance(64).jobs == []
    assert (scripts.lane("s"), states(scripts, "a")) == (["b", "c", "a"], ["deferred"])
    order: list[str] = []
    current: Claim | None = claim
    while current:
        order.append(current.job)
        claimed = scripts.advance(1, closings=[current.closing("done")]).claimed
        current = claimed[0] if claimed else None
    assert order == ["b", "c", "a"]
    assert scripts.keys_about("lane") == []


def test_a_dead_letter_that_lives_again_is_whole(scripts: Scripts) -> None:
    scripts.accept("a", lane="s")
    scripts.close(scripts.claim(), "dead", progress='{"h": [1, 0, "done"]}', reason="r", error="e")
    scripts.job("a").requeue()
    claim = scripts.claim()
    assert (claim.progress, claim.claims) == ('{"h":[1,0,"done"]}', 2)
    assert json.loads(claim.replay)["reason"] == "requeued"
    assert scripts.client.ttl("rq:job:a") == -1
    assert [scripts.field("a", name) for name in ("reason", "error", "died_at", "exc_info")] == [None] * 4
    assert scripts.members("failed") == []


def test_a_foreign_job_is_a_dead_letter_and_never_handed_out(scripts: Scripts) -> None:
    scripts.client.hset("rq:job:evil", mapping={"data": '["os.system", null, ["true"], {}]', "origin": "hiloop",
                                                "status": "queued"})  # fmt: skip
    scripts.client.rpush("rq:queue:hiloop", "evil")
    scripts.accept("a")
    assert scripts.advance(64).jobs == ["a"]
    assert (scripts.field("evil", "reason"), scripts.members("failed")) == ("not_an_event", ["evil"])


def test_a_line_full_of_rubbish_is_worked_off_in_steps(scripts: Scripts) -> None:
    scripts.client.rpush("rq:queue:hiloop", *(f"gone-{number}" for number in range(2500)))
    scripts.accept("a")
    steps = [scripts.advance(64) for _ in range(3)]
    assert [step.jobs for step in steps] == [[], [], ["a"]]
    assert [abs(step.next_due / 1000 - time.time()) < 5 for step in steps] == [True, True, False]
