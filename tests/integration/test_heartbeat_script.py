"""Contract of heartbeat.lua: birth and death, take-over, poison, outages of Redis, and lanes that must heal."""

from __future__ import annotations

import time

import pytest
from rq.job import JobStatus
from rq.worker import Worker

from tests.support.scripts import LAYOUT, LEASE, MAX_CRASHES, Claim, Scripts


def crash(scripts: Scripts, worker: str = "worker-a") -> None:
    """A worker dies, and another one sees it."""
    scripts.die(worker)
    assert scripts.heartbeat("worker-z") == 1


@pytest.fixture
def born(scripts: Scripts) -> Scripts:
    """Workers a, b and z live."""
    for name in "abz":
        assert scripts.heartbeat(f"worker-{name}", birth=1) == 1
    return scripts


def test_birth(scripts: Scripts) -> None:
    assert scripts.heartbeat(birth=1) == 1
    assert scripts.heartbeat() == 1
    (worker,) = Worker.all(connection=scripts.client)
    assert (worker.name, worker.pid, worker.hostname, worker.queue_names()) == (
        "worker-a",
        7,
        "test",
        list(LAYOUT.queues),
    )
    for queue in LAYOUT.queues:
        assert scripts.client.smembers(f"rq:workers:{queue}") == {b"rq:worker:worker-a"}
    assert 60 <= scripts.client.ttl("rq:worker:worker-a") <= 120
    lease = scripts.client.zscore(LAYOUT.own("leases"), "worker-a")
    assert lease is not None
    assert abs(lease / 1000 - time.time() - LEASE / 1000) < 5


def test_death_leaves_nothing(born: Scripts) -> None:
    born.accept("a")
    born.close(born.claim(), "done")
    for name in "abz":
        assert born.heartbeat(f"worker-{name}", birth=-1) == 1
    assert [key for key in born.keys_about("worker") if key != "rq:workers"] == []
    assert Worker.all(connection=born.client) == []
    assert born.client.zcard(LAYOUT.own("leases")) == 0
    assert born.client.smembers(LAYOUT.own("waiting")) == set()


def test_a_worker_that_ends_with_claims_gives_them_back(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    born.heartbeat(birth=-1)
    assert (born.queue(), born.members("wip")) == (["a"], [])


def test_a_living_worker_keeps_its_claims(born: Scripts) -> None:
    born.accept("a")
    claim = born.claim()
    for _ in range(3):
        assert born.heartbeat("worker-z") == 1
        assert born.heartbeat() == 1
    assert (born.members("wip"), born.queue()) == ([claim.key], [])


def test_take_over(born: Scripts) -> None:
    born.accept(*"abc", lane="s")
    born.accept("x", lane="t", priority="high")
    claims = born.advance(64).claimed
    assert {claim.job for claim in claims} == {"a", "x"}
    crash(born)
    assert (born.queue(), born.queue("high"), born.members("wip")) == (["a"], ["x"], [])
    assert born.lane("s") == ["a", "b", "c"]
    assert born.job("a").get_status() == JobStatus.QUEUED
    assert born.keys_about("rq:execution") == []
    assert {worker.name for worker in Worker.all(connection=born.client)} == {"worker-b", "worker-z"}
    assert born.counters()["taken_back"] == 2
    again = born.advance(64, worker="worker-b").claimed
    assert [(claim.job, claim.claims) for claim in again] == [("x", 2), ("a", 2)]


def test_the_first_to_see_it_takes_over_and_the_others_nothing(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    born.die("worker-a")
    born.heartbeat("worker-b")
    born.heartbeat("worker-z")
    assert (born.queue(), born.field("a", "crashes")) == (["a"], "1")


def test_a_worker_that_was_taken_for_dead_is_told(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    crash(born)
    assert born.heartbeat("worker-a") == 0, "others have its events"
    assert born.heartbeat("worker-a") == 1, "from now on it is a worker like any other"
    assert born.claim("worker-a").job == "a"


def test_a_poison_event_ends_as_a_dead_letter(born: Scripts) -> None:
    born.accept("poison", lane="s")
    born.accept("next", lane="s")
    for number in range(MAX_CRASHES):
        born.heartbeat("worker-a", birth=1)
        claimed = born.advance(64).claimed
        assert [claim.job for claim in claimed] == ["poison"], number
        crash(born)
    job = born.job("poison")
    assert (job.get_status(), born.field("poison", "reason")) == (JobStatus.FAILED, "worker_lost")
    assert born.members("failed") == ["poison"]
    assert born.counters()["dead:worker_lost"] == 1
    assert born.lane("s") == ["next"]
    assert born.claim("worker-b").job == "next"


def test_a_dead_letter_of_crashes_gets_all_its_chances_again(born: Scripts) -> None:
    born.accept("poison")
    for _ in range(MAX_CRASHES):
        born.heartbeat("worker-a", birth=1)
        born.claim()
        crash(born)
    born.job("poison").requeue()
    born.heartbeat("worker-a", birth=1)
    born.claim()
    crash(born)
    assert born.queue() == ["poison"]
    assert born.field("poison", "crashes") == "1"


def test_a_retry_forgives_crashes(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    crash(born)
    born.heartbeat("worker-a", birth=1)
    born.close(born.claim(), "retry", due=time.time() - 1)
    born.claim()
    crash(born)
    assert (born.field("a", "crashes"), born.queue()) == ("1", ["a"])


def twice_crashed(scripts: Scripts, *jobs: str) -> None:
    """Events that were in flight at two crashes."""
    scripts.accept(*jobs)
    for _ in range(2):
        scripts.heartbeat("worker-a", birth=1)
        claimed = scripts.advance(64).claimed
        assert sorted(claim.job for claim in claimed) == sorted(jobs)
        crash(scripts)


def test_events_in_flight_at_two_crashes_run_alone(born: Scripts) -> None:
    twice_crashed(born, "p", "q")
    born.accept("other-1", "other-2", "other-3")
    isolated = born.advance(64, worker="worker-a")
    assert (isolated.alone, len(isolated.claimed)) == (True, 1)
    # The other workers go on with the rest, and leave these alone.
    beside = born.advance(2, worker="worker-b")
    assert (beside.alone, beside.jobs) == (False, ["other-1", "other-2"])
    # The isolating worker gets nothing else while it holds one.
    busy = born.advance(64, worker="worker-a", in_flight=1)
    assert (busy.alone, busy.jobs) == (True, [])
    second = born.advance(64, worker="worker-a", closings=[isolated.claimed[0].closing("done")])
    assert {*isolated.jobs, *second.jobs} == {"p", "q"}
    rest = born.advance(64, worker="worker-a", closings=[second.claimed[0].closing("done")])
    assert (rest.alone, rest.jobs) == (False, ["other-3"])


def test_a_worker_with_events_in_flight_does_not_start_an_isolated_one(born: Scripts) -> None:
    twice_crashed(born, "p")
    step = born.advance(64, worker="worker-b", in_flight=3)
    assert (step.alone, step.jobs) == (True, [])
    assert born.advance(64, worker="worker-b", in_flight=0).jobs == ["p"]


def test_an_isolator_that_died_is_replaced(born: Scripts) -> None:
    twice_crashed(born, "p", "q")
    born.heartbeat("worker-a", birth=1)
    first: Claim = born.claim("worker-a")
    assert born.client.get(LAYOUT.own("isolator")) == b"worker-a"
    assert 0 < born.client.pttl(LAYOUT.own("isolator")) <= LEASE
    crash(born)
    born.client.delete(LAYOUT.own("isolator"))  # what the end of its lease does
    second = born.claim("worker-b")
    assert {first.job, second.job} == {"p", "q"}


def test_after_an_outage_of_redis_nobody_is_taken_for_dead(born: Scripts) -> None:
    born.accept("a")
    claim = born.claim()
    away = 10 * LEASE
    for name in ("worker-a", "worker-b", "worker-z"):
        born.client.zincrby(LAYOUT.own("leases"), -away, name)
    born.client.decrby(LAYOUT.own("beat"), away)
    assert born.heartbeat("worker-b") == 1
    assert born.members("wip") == [claim.key]
    assert born.heartbeat("worker-a") == 1
    # The grace is given once: whoever does not come back is dead after all.
    born.die("worker-a")
    born.heartbeat("worker-b")
    assert (born.members("wip"), born.queue()) == ([], ["a"])


def test_a_lane_heals_whose_first_job_was_deleted(born: Scripts) -> None:
    born.accept(*"abc", lane="s")
    born.client.delete("rq:job:a")
    assert born.advance(64).jobs == []
    born.heartbeat()
    assert (born.lane("s"), born.queue()) == (["b", "c"], ["b"])
    assert born.claim().job == "b"


def test_a_lane_heals_whose_first_job_was_cancelled(born: Scripts) -> None:
    born.accept(*"abc", lane="s")
    born.job("a").cancel()
    assert born.advance(64).jobs == []
    born.heartbeat()
    assert (born.lane("s"), born.queue()) == (["b", "c"], ["b"])


def test_many_lanes_heal(born: Scripts) -> None:
    for number in range(30):
        born.accept(f"first-{number}", f"second-{number}", lane=f"s-{number}")
    born.client.delete(*(f"rq:job:first-{number}" for number in range(30)), "rq:queue:hiloop")
    for _ in range(100):
        born.heartbeat()
    assert sorted(born.queue()) == sorted(f"second-{number}" for number in range(30))
    assert born.members("deferred") == []


@pytest.mark.parametrize("status", ["queued", "started", "scheduled"])
def test_a_lane_whose_first_job_is_under_way_is_left_alone(born: Scripts, status: str) -> None:
    born.accept(*"abc", lane="s")
    if status != "queued":
        claim = born.claim()
        if status == "scheduled":
            born.close(claim, "retry", due=time.time() + 60)
    for _ in range(5):
        born.heartbeat()
    assert (born.lane("s"), born.field("a", "status")) == (["a", "b", "c"], status)


def test_a_claim_of_a_deleted_job_leaves_no_trace(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    born.client.delete("rq:job:a")
    crash(born)
    assert (born.members("wip"), born.keys_about("rq:execution"), born.queue()) == ([], [], [])
    assert not born.client.exists("rq:job:a")


def test_taking_over_wakes_a_worker(born: Scripts) -> None:
    born.accept("a")
    born.claim()
    born.advance(5, worker="worker-b")
    with born.client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(LAYOUT.own("wake:worker-b"))
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        crash(born)
        assert subscription.get_message(timeout=5)["type"] == "message"


@pytest.mark.parametrize("written", ["many", "1e400", "9" * 30, ""])
def test_a_number_that_is_none_keeps_nobody_from_taking_back(scripts: Scripts, written: str) -> None:
    scripts.heartbeat(birth=1)
    scripts.accept("e")
    scripts.client.hset("rq:job:e", "claims", written)
    assert scripts.claim().job == "e"
    scripts.client.hset("rq:job:e", "crashes", written)
    scripts.die()
    assert scripts.heartbeat("worker-b", birth=1) == 1
    assert (scripts.queue(), scripts.field("e", "crashes")) == (["e"], "1")
