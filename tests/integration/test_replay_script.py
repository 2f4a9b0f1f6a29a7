"""Contract of replay.lua and discard.lua, and of what is kept of events that nobody works on any more."""

from __future__ import annotations

import json
import time

import redis

from receiver.keeping import Keeping
from tests.support.scripts import Claim, Scripts


def keeping(client: redis.Redis, **options: int) -> Scripts:
    """Scripts that keep handled events."""
    return Scripts(client, Keeping(**options))


def die(scripts: Scripts, *events: str, progress: str = '{"a": [1, 0, "done"], "b": [3, 9, "dead"]}') -> None:
    """Let events become dead letters, in this order."""
    scripts.accept(*events, lane="s", body=b"x" * 1000)
    for _ in events:
        scripts.close(scripts.claim(), "dead", progress=progress, reason="handler_error", error="E at f")


def work_off(scripts: Scripts) -> list[Claim]:
    """Claim and close everything that waits, in the order in which it comes."""
    done = []
    while claims := scripts.advance(64).claimed:
        done += claims
        scripts.advance(closings=[claim.closing("done") for claim in claims])
    return done


def test_a_replayed_dead_letter_is_whole_and_its_successes_stay(scripts: Scripts) -> None:
    die(scripts, "a")
    assert scripts.replay("a") == [1]
    assert (scripts.queue(), scripts.members("failed"), scripts.client.ttl("rq:job:a")) == (["a"], [], -1)
    claim = scripts.claim()
    assert json.loads(claim.progress) == {"a": [1, 0, "done"]}
    assert json.loads(claim.replay) == {"id": "rpl_1", "reason": "test", "handlers": []}
    assert [scripts.field("a", name) for name in ("reason", "error", "died_at", "exc_info")] == [None] * 4
    assert scripts.counters()["replayed"] == 1


def test_a_replay_survives_the_death_of_its_worker(scripts: Scripts) -> None:
    die(scripts, "a")
    scripts.heartbeat("worker-a", birth=1)
    scripts.replay("a")
    first = scripts.claim("worker-a")
    scripts.die("worker-a")
    scripts.heartbeat("worker-b", birth=1)
    again = scripts.claim("worker-b")
    assert (again.progress, again.replay) == (first.progress, first.replay)


def test_only_the_handlers_named_start_over(scripts: Scripts) -> None:
    die(scripts, "a")
    scripts.replay("a", handlers=["a"])
    assert json.loads(scripts.claim().progress) == {"b": [3, 9, "dead"]}


def test_a_replay_keeps_the_order_of_a_session(scripts: Scripts) -> None:
    die(scripts, *"abc")
    scripts.accept("d", lane="s")
    assert scripts.replay(*"abc") == [1, 1, 1]
    assert scripts.lane("s") == ["d", "a", "b", "c"]
    assert [claim.job for claim in work_off(scripts)] == ["d", "a", "b", "c"]


def test_a_second_replay_changes_nothing(scripts: Scripts) -> None:
    die(scripts, "a")
    assert scripts.replay("a", "a", "nobody") == [1, 0, 0]
    assert scripts.replay("a") == [0]
    assert scripts.queue() == ["a"]


def test_what_was_discarded_is_gone_counted_and_still_known(scripts: Scripts) -> None:
    die(scripts, "a", "b")
    assert scripts.discard("a", "a", "nobody") == [1, 0, 0]
    assert (scripts.members("failed"), scripts.client.exists("rq:job:a")) == (["b"], 0)
    assert scripts.counters()["discarded"] == 1
    assert scripts.accept("a") == [0]
    assert scripts.client.get("hiloop:hiloop:dead_bytes") == b"1000"
    assert scripts.client.hgetall("hiloop:hiloop:dead_reasons") == {b"handler_error": b"1"}


def test_a_handled_event_keeps_what_became_of_it_and_no_content(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client)
    scripts.accept("a", lane="s", body=b"sealed")
    scripts.close(scripts.claim(), "done", progress='{"h": [1, 0, "done", 5, ""]}')
    job = scripts.job("a")
    assert job.is_finished
    assert scripts.members("finished") == ["a"]
    assert [scripts.field("a", name) for name in ("body", "signature", "lane")] == [None] * 3
    assert scripts.field("a", "progress") == '{"h": [1, 0, "done", 5, ""]}'
    assert 0 < scripts.client.ttl("rq:job:a") <= 7 * 86400
    assert scripts.replay("a") == [-1]
    assert (scripts.accept("a"), scripts.field("a", "duplicates")) == ([0], "1")
    assert scripts.members("finished") == ["a"]


def test_a_handled_event_with_its_body_runs_again_whole(redis_client: redis.Redis) -> None:
    scripts = Scripts(redis_client, Keeping(bodies=True))
    scripts.accept("a", lane="s", body=b"sealed")
    scripts.close(scripts.claim(), "done", progress='{"h": [1, 0, "done", 5, ""]}')
    assert scripts.replay("a") == [1]
    claim = scripts.claim()
    assert (claim.body, claim.progress) == (b"sealed", "")


def test_the_oldest_dead_letters_go_when_there_are_too_many(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client, dead_max=3)
    die(scripts, *"abcde")
    assert scripts.members("failed") == ["c", "d", "e"]
    assert scripts.counters()["evicted"] == 2
    assert scripts.client.get("hiloop:hiloop:dead_bytes") == b"3000"


def test_the_oldest_dead_letters_go_when_they_take_too_much(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client, dead_bytes=2500)
    die(scripts, *"abcd")
    assert (scripts.members("failed"), scripts.counters()["evicted"]) == (["c", "d"], 2)


def test_the_oldest_handled_events_go_when_there_are_too_many(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client, handled_max=2)
    scripts.accept(*"abcd")
    work_off(scripts)
    scripts.accept("e")
    work_off(scripts)
    assert len(scripts.members("finished")) == 2
    assert "e" in scripts.members("finished")
    assert scripts.counters()["forgotten"] == 3


def test_what_was_kept_for_its_time_is_forgotten(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client)
    die(scripts, "a")
    scripts.accept("b")
    work_off(scripts)
    for kind, job in (("failed", "a"), ("finished", "b")):
        scripts.client.zadd(f"rq:{kind}:hiloop", {job: time.time() - 1}, xx=True)
    scripts.heartbeat(birth=1)
    assert (scripts.members("failed"), scripts.members("finished")) == ([], [])
    assert scripts.counters()["expired"] == 1
    assert scripts.client.get("hiloop:hiloop:dead_bytes") == b"0"
    assert scripts.client.exists("hiloop:hiloop:dead_reasons") == 0


def test_a_dead_letter_deleted_from_outside_does_not_count_for_ever(scripts: Scripts) -> None:
    die(scripts, "a")
    scripts.job("a").delete()
    scripts.heartbeat(birth=1)
    assert scripts.client.get("hiloop:hiloop:dead_bytes") == b"0"
    assert scripts.client.exists("hiloop:hiloop:dead_reasons") == 0


def test_times_of_acceptance_tell_the_order(scripts: Scripts) -> None:
    events = [f"e{number}" for number in range(300)]
    for start in range(0, 300, 100):
        scripts.accept(*events[start : start + 100])
    times = [scripts.field(event, "created_at") for event in events]
    assert times == sorted(set(times))  # type: ignore[type-var]  # none is missing


def test_minutes_are_counted(redis_client: redis.Redis) -> None:
    scripts = keeping(redis_client)
    scripts.accept(*"abc")
    work_off(scripts)
    (minute,) = {key for key in scripts.keys_about(":minute:") if scripts.client.hget(key, "handled")}
    assert scripts.client.hget(minute, "handled") == b"3"
    assert 0 < scripts.client.ttl(minute) <= 90_000
