"""Contract of accept.lua: a lone event is claimed for a worker that waits with a free slot, and handed to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.scripts import LAYOUT, Scripts
from tests.support.wire import signature


@pytest.fixture
def waiting(scripts: Scripts, redis_client: redis.Redis) -> Iterator[Any]:
    """The subscription of a worker that has found nothing to do."""
    with redis_client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(LAYOUT.own("wake:worker-a"))
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        scripts.advance(1)
        yield subscription


def handed(subscription: Any) -> list[Any]:
    message = subscription.get_message(timeout=5)
    fields: list[Any] = json.loads(message["data"])
    return fields


def test_the_event_is_claimed_and_complete(scripts: Scripts, waiting: Any) -> None:
    body = '{"id": "a", "text": "schön \\u0000 \\ud83d\\ude45"}'.encode()
    scripts.accept("a", lane="s", body=body, traceparent="00-1")
    job, execution, sent, signed, progress, claims, replay, _, traceparent = handed(waiting)
    assert (job, sent.encode(), signed.encode()) == ("a", body, signature(body))
    assert (progress, claims, replay, traceparent) == ("", 1, "", "00-1")
    assert scripts.members("wip") == [f"a:{execution}"]
    assert scripts.client.smembers("rq:worker:worker-a:executions") == {f"a:{execution}".encode()}
    assert scripts.job("a").get_status() == "started"
    assert scripts.queue() == []
    assert scripts.lane("s") == ["a"]
    # What was handed over is closed like any other claim.
    assert scripts.advance(closings=[(job, execution, "done", 0, "", "", "")]).answers == [1]
    assert scripts.client.exists("rq:job:a") == 0


def test_one_event_a_waiting_worker(scripts: Scripts, waiting: Any) -> None:
    scripts.accept("a", "b", "c")
    assert handed(waiting)[0] == "a"
    assert scripts.queue() == ["b", "c"]
    assert waiting.get_message(timeout=0.05) is None
    assert scripts.advance(5).jobs == ["b", "c"]


def test_the_next_of_a_session_is_not_handed_over(scripts: Scripts, waiting: Any) -> None:
    scripts.accept("a", lane="s")
    scripts.advance(1)
    assert handed(waiting)[0] == "a"
    scripts.accept("b", lane="s")
    assert scripts.job("b").get_status() == "deferred"
    assert waiting.get_message(timeout=0.05) is None


def test_nobody_listens(scripts: Scripts) -> None:
    scripts.advance(1)
    scripts.accept("a")
    assert scripts.queue() == ["a"]
    assert scripts.members("wip") == []


def test_nothing_is_handed_over_while_suspended(scripts: Scripts, waiting: Any) -> None:
    scripts.client.set("rq:suspended", 1)
    scripts.accept("a")
    assert scripts.queue() == ["a"]
    assert waiting.get_message(timeout=0.05) is None


def test_what_was_handed_over_unheard_is_asked_for(scripts: Scripts, waiting: Any) -> None:
    scripts.accept("a")
    execution = handed(waiting)[1]
    (claim,) = scripts.advance(1, resync=[]).claimed
    assert claim.key == f"a:{execution}"


def test_what_was_handed_to_a_worker_that_died_is_taken_back(scripts: Scripts, waiting: Any) -> None:
    scripts.heartbeat(birth=1)
    scripts.accept("a")
    assert handed(waiting)[0] == "a"
    scripts.die()
    scripts.heartbeat("worker-b", birth=1)
    assert scripts.queue() == ["a"]
