"""Replays of what the platform has signed: before, at and after the end of the deduplication window."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.processes import Running
from tests.support.scripts import nothing_accepted
from tests.support.wire import answer, post, signature


def test_before_its_end_a_replay_is_a_duplicate(web: Running, redis_client: redis.Redis) -> None:
    body = answer("approve", event_id="evt_1")
    assert [post(web.port, body).status for _ in range(5)] == [202, 200, 200, 200, 200]
    assert redis_client.llen("rq:queue:hiloop") == 1


def test_at_its_end_there_is_no_gap(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess
) -> None:
    web = web_of(redis_server.url, {"HILOOP_DEDUP_WINDOW": "1s"})
    # Nothing is kept of the event, so that nothing but the window recognises it.
    statuses = replay_until_stale(web, redis_client, answer("approve", event_id="evt_1"))
    assert statuses[0] == 202
    assert set(statuses[1:-1]) == {200}


def test_an_event_dated_ahead_is_remembered_until_it_is_stale(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess
) -> None:
    web = web_of(redis_server.url, {"HILOOP_DEDUP_WINDOW": "1s"})
    ahead = datetime.now(UTC) + timedelta(seconds=1)
    statuses = replay_until_stale(web, redis_client, answer("approve", event_id="evt_1", created_at=ahead))
    assert statuses[0] == 202
    assert set(statuses[1:-1]) == {200}


def test_after_its_end_a_replay_is_refused(web: Running, redis_client: redis.Redis) -> None:
    body = answer("approve", created_at=datetime.now(UTC) - timedelta(days=7, seconds=1))
    assert post(web.port, body).status == 422
    assert nothing_accepted(redis_client)


def test_shortly_before_its_end_an_event_is_still_taken(web: Running, redis_client: redis.Redis) -> None:
    body = answer("approve", created_at=datetime.now(UTC) - timedelta(days=7) + timedelta(minutes=1))
    assert [post(web.port, body).status for _ in range(2)] == [202, 200]


def test_a_changed_time_is_no_way_around(web: Running, redis_client: redis.Redis) -> None:
    old = answer("approve", event_id="evt_old", created_at=datetime.now(UTC) - timedelta(days=8))
    fresh = answer("approve", event_id="evt_old")
    assert post(web.port, fresh, change={"X-Hiloop-Signature": signature(old).decode()}).status == 401


def replay_until_stale(web: Running, client: redis.Redis, body: bytes) -> list[int]:
    """Send the same again and again until it is refused as stale; the statuses."""
    statuses = []
    deadline = time.monotonic() + 10
    while not statuses or statuses[-1] != 422:
        assert time.monotonic() < deadline
        statuses.append(post(web.port, body).status)
        client.delete("rq:job:evt_1")
    return statuses
