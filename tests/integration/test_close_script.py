"""Contract of advance.lua, closing: every verb leaves exactly what it should, and only its holder closes a claim."""

from __future__ import annotations

import time

import pytest
from rq.job import JobStatus
from rq.registry import FailedJobRegistry

from tests.support.scripts import KEEP_DEAD, LAYOUT, Scripts

VERBS = ["done", "dead", "retry", "release"]


def assert_not_claimed(scripts: Scripts, job: str) -> None:
    """No trace of a claim is left."""
    assert scripts.members("wip") == []
    assert scripts.keys_about("execution") == []
    assert job not in scripts.queue()[1:]


def test_done_leaves_nothing_but_the_memory_of_the_id(scripts: Scripts) -> None:
    scripts.heartbeat(birth=1)
    scripts.accept("a", lane="s")
    assert scripts.close(scripts.claim(), "done") == 1
    left = {key.decode() for key in scripts.client.scan_iter()}
    workers = {key for key in left if "worker" in key}
    assert left - workers == {
        "rq:queues",
        *(LAYOUT.own(name) for name in ("seen:a", "leases", "beat", "turn", "counters")),
        *(key for key in left if ":minute:" in key),
    }
    assert scripts.client.hget("rq:worker:worker-a", "state") == b"idle"
    assert scripts.counters()["handled"] == 1


def test_dead_is_a_dead_letter_that_rq_shows(scripts: Scripts) -> None:
    scripts.accept("a", lane="s", priority="high")
    claim = scripts.claim()
    scripts.close(claim, "dead", progress='{"h": [3, 0, "dead"]}', reason="timeout", error="h took too long")
    job = scripts.job("a")
    assert (job.get_status(), job.origin) == (JobStatus.FAILED, "hiloop-high")
    assert scripts.field("a", "exc_info") == "timeout: h took too long"
    assert job.ended_at is not None
    assert FailedJobRegistry("hiloop-high", connection=scripts.client).get_job_ids() == ["a"]
    expiry = scripts.client.zscore("rq:failed:hiloop-high", "a")
    assert expiry is not None
    assert abs(expiry - time.time() - KEEP_DEAD) < 5
    assert KEEP_DEAD - 5 < scripts.client.ttl("rq:job:a") <= KEEP_DEAD
    assert [scripts.field("a", name) for name in ("reason", "error", "progress")] == [
        "timeout",
        "h took too long",
        '{"h": [3, 0, "dead"]}',
    ]
    assert abs(float(scripts.field("a", "died_at") or 0) / 1000 - time.time()) < 5
    counters = scripts.counters()
    assert (counters["dead"], counters["dead:timeout"]) == (1, 1)
    assert scripts.keys_about("lane") == []
    assert_not_claimed(scripts, "a")


def test_retry_waits_until_it_is_due(scripts: Scripts) -> None:
    scripts.accept("a", lane="s")
    due = time.time() + 60
    scripts.close(scripts.claim(), "retry", due=due, progress='{"h": [1, 0, "pending"]}')
    assert scripts.job("a").get_status() == JobStatus.SCHEDULED
    assert abs((scripts.client.zscore("rq:scheduled:hiloop", "a") or 0) - due) < 0.01
    assert scripts.field("a", "progress") == '{"h": [1, 0, "pending"]}'
    assert (scripts.queue(), scripts.lane("s"), scripts.counters()["retried"]) == ([], ["a"], 1)
    assert_not_claimed(scripts, "a")


def test_release_puts_back_in_front(scripts: Scripts) -> None:
    scripts.accept("a", "b")
    claim = scripts.claim()
    scripts.close(claim, "release", progress="{}")
    assert (scripts.queue(), scripts.job("a").get_status()) == (["a", "b"], JobStatus.QUEUED)
    assert scripts.counters()["released"] == 1
    assert_not_claimed(scripts, "a")
    assert scripts.claim().job == "a"


def test_several_released_at_once_keep_the_order_of_a_session(scripts: Scripts) -> None:
    scripts.accept(*"abc", lane="s")
    scripts.accept("x", lane="t")
    claims = scripts.advance(64).claimed
    scripts.advance(closings=[claim.closing("release") for claim in claims])
    order = []
    while claims := scripts.advance(64).claimed:
        order += [claim.job for claim in claims if claim.job != "x"]
        scripts.advance(closings=[claim.closing("done") for claim in claims])
    assert order == ["a", "b", "c"]


def test_unlane_lets_successors_go_and_keeps_the_claim(scripts: Scripts) -> None:
    scripts.accept(*"abc", lane="s")
    claim = scripts.claim()
    step = scripts.advance(64, closings=[claim.closing("unlane")])
    assert (step.answers, step.jobs) == ([1], ["b"])
    assert (scripts.field("a", "status"), scripts.field("a", "lane")) == ("started", "")
    assert claim.key in scripts.members("wip")
    assert scripts.lane("s") == ["b", "c"]
    assert scripts.close(claim, "unlane") == 1, "a second time changes nothing"
    assert scripts.lane("s") == ["b", "c"]
    scripts.close(claim, "retry", due=time.time() - 1)
    assert "a" in scripts.advance(64).jobs, "its retry needs no turn"
    assert scripts.lane("s") == ["b", "c"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_claim_is_closed_once(scripts: Scripts, verb: str) -> None:
    scripts.accept(*"ab", lane="s")
    claim = scripts.claim()
    due = time.time() + 60
    assert scripts.close(claim, verb, due=due) == 1
    before = scripts.client.hgetall("rq:job:a"), scripts.lane("s"), scripts.queue()
    for again in VERBS:
        assert scripts.close(claim, again, due=due) == 0
    assert (scripts.client.hgetall("rq:job:a"), scripts.lane("s"), scripts.queue()) == before
    assert scripts.counters()["lost"] == len(VERBS)


@pytest.mark.parametrize("verb", [*VERBS, "unlane"])
def test_who_lost_a_claim_cannot_close_it(scripts: Scripts, verb: str) -> None:
    scripts.heartbeat("worker-a", birth=1)
    scripts.heartbeat("worker-b", birth=1)
    scripts.accept(*"ab", lane="s")
    old = scripts.claim("worker-a")
    scripts.die("worker-a")
    scripts.heartbeat("worker-b")
    new = scripts.claim("worker-b")
    assert (new.job, new.claims) == ("a", 2)
    scripts.close(old, verb, worker="worker-a", due=time.time() - 1)
    assert scripts.job("a").get_status() == JobStatus.STARTED
    assert (scripts.lane("s"), scripts.members("wip")) == (["a", "b"], [new.key])
    assert scripts.close(new, "done", worker="worker-b") == 1


def test_closings_of_several_events_share_a_step(scripts: Scripts) -> None:
    scripts.accept("a", "b", "c", "d")
    claims = scripts.advance(64).claimed
    verbs = ["done", "dead", "retry", "release"]
    step = scripts.advance(
        closings=[
            claim.closing(verb, due=time.time() + 60, reason="r", error="e")
            for claim, verb in zip(claims, verbs, strict=True)
        ]
    )
    assert step.answers == [1, 1, 1, 1]
    assert (scripts.members("failed"), scripts.members("scheduled"), scripts.queue()) == (["b"], ["c"], ["d"])
    assert not scripts.client.exists("rq:job:a")


def test_the_worker_that_closes_is_idle_when_nothing_is_left(scripts: Scripts) -> None:
    scripts.heartbeat(birth=1)
    scripts.accept("a", "b")
    first, second = scripts.advance(2).claimed
    states = [
        scripts.client.hget("rq:worker:worker-a", "state"),
        scripts.advance(closings=[first.closing("done")], in_flight=1)
        and scripts.client.hget("rq:worker:worker-a", "state"),
        scripts.advance(closings=[second.closing("done")], in_flight=0)
        and scripts.client.hget("rq:worker:worker-a", "state"),
    ]
    assert states == [b"busy", b"busy", b"idle"]


def test_a_job_deleted_while_it_ran_leaves_no_trace(scripts: Scripts) -> None:
    scripts.accept(*"ab", lane="s")
    claim = scripts.claim()
    scripts.client.delete("rq:job:a")
    step = scripts.advance(1, closings=[claim.closing("done")])
    assert step.answers == [0]
    assert scripts.members("wip") == []
    assert scripts.keys_about("rq:execution") == []


def test_a_successor_that_was_deleted_is_passed_over(scripts: Scripts) -> None:
    scripts.accept(*"abcd", lane="s")
    claim = scripts.claim()
    scripts.client.delete("rq:job:b", "rq:job:c")
    assert scripts.advance(64, closings=[claim.closing("done")]).jobs == ["d"]
    assert scripts.lane("s") == ["d"]


def test_a_successor_that_was_cancelled_is_passed_over(scripts: Scripts) -> None:
    scripts.accept(*"abc", lane="s")
    claim = scripts.claim()
    scripts.job("b").cancel()
    assert scripts.advance(64, closings=[claim.closing("done")]).jobs == ["c"]
    assert (scripts.lane("s"), scripts.field("b", "status")) == (["c"], "canceled")


def test_a_dead_letter_is_not_run_again_by_its_lane(scripts: Scripts) -> None:
    scripts.accept(*"ab", lane="s")
    # A dashboard put "b" into the line although it waits for "a": it is noted in its lane twice.
    scripts.client.zrem("rq:deferred:hiloop", "b")
    scripts.client.hset("rq:job:b", "status", "queued")
    scripts.client.rpush("rq:queue:hiloop", "b")
    (first,) = scripts.advance(64).claimed
    (second,) = scripts.advance(64, closings=[first.closing("done")]).claimed
    assert second.job == "b"
    scripts.accept("c", lane="s")
    step = scripts.advance(64, closings=[second.closing("dead", reason="r", error="e")])
    order = step.jobs
    for claim in step.claimed:
        order += scripts.advance(64, closings=[claim.closing("done")]).jobs
    assert order == ["c"]
    assert scripts.field("b", "status") == "failed"
