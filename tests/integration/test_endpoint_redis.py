"""The endpoint while Redis stops, hangs, is full, and while many requests share its round trips."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.processes import Running
from tests.support.waiting import wait_until
from tests.support.wire import TOKEN, Reply, answer, connect, exchange, post, read_reply, request_head, signature


def get(port: int, path: str) -> Reply:
    """A plain GET."""
    return exchange(port, request_head([], method="GET", path=path))


def assert_unavailable(web: Running, body: bytes) -> None:
    """It says so within 3 s, and that it is to be tried again."""
    started = time.monotonic()
    reply = post(web.port, body)
    assert time.monotonic() - started < 3
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (503, "queue_unavailable")
    assert 1 <= int(reply.header("retry-after")) <= 60
    started = time.monotonic()
    assert get(web.port, "/readyz").status == 503
    assert time.monotonic() - started < 2
    assert get(web.port, "/healthz").status == 200


def test_redis_stopped_and_started_again(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    before = answer("approve", event_id="evt_before")
    assert post(web.port, before).status == 202
    own_redis.kill()
    body = answer("approve", event_id="evt_during")
    assert_unavailable(web, body)
    own_redis.start()
    assert post(web.port, body).status == 202
    assert get(web.port, "/readyz").status == 200
    assert post(web.port, before).status == 200, "what was acknowledged before is still known"
    assert web.defects == []
    assert "evt_during" not in "".join(line for line in web.log.splitlines() if " warning " in line)


def test_started_without_redis(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    url = own_redis.url
    own_redis.kill()
    web = web_of(url)
    body = answer("approve")
    assert_unavailable(web, body)
    own_redis.start()
    assert post(web.port, body).status == 202


def test_redis_hangs(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    assert post(web.port, answer("approve")).status == 202
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        assert_unavailable(web, answer("approve", event_id="evt_during"))
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    # The replies that Redis owes from before must not be taken for the answers to what comes now.
    fresh = [answer("approve", event_id=f"evt_{number}") for number in range(5)]
    assert [post(web.port, body).status for body in fresh] == [202] * 5
    assert [post(web.port, body).status for body in fresh] == [200] * 5
    assert post(web.port, answer("approve", event_id="evt_during")).status in (200, 202)
    assert post(web.port, answer("approve", event_id="evt_during")).status == 200
    assert get(web.port, "/readyz").status == 200
    assert web.defects == []


def test_memory_full(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    with own_redis.client() as client:
        assert post(web.port, answer("approve")).status == 202
        client.config_set("maxmemory", 1)
        keys = client.dbsize()
        body = answer("approve")
        reply = post(web.port, body)
        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (503, "queue_unavailable")
        assert client.dbsize() == keys
        client.config_set("maxmemory", 0)
        assert post(web.port, body).status == 202
    assert web.defects == []


def round_trips(client: redis.Redis) -> int:
    """How many scripts Redis has been asked to run."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


def test_one_round_trip_an_event_when_they_come_alone(web: Running, redis_client: redis.Redis) -> None:
    assert post(web.port, answer("approve")).status == 202
    before = round_trips(redis_client)
    for _ in range(10):
        assert post(web.port, answer("approve")).status == 202
    assert round_trips(redis_client) - before == 10


@pytest.mark.parametrize("count", [40, 300])
def test_requests_that_arrive_together_share_round_trips(
    own_redis: EmbeddedRedis, web_of: StartProcess, count: int
) -> None:
    web = web_of(own_redis.url)
    with own_redis.client() as client:
        assert post(web.port, answer("approve")).status == 202
        before = round_trips(client)
        connections = []
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            for number in range(count):
                body = answer("approve", event_id=f"evt_{number}", session_id="s-1")
                headers = [
                    ("Content-Type", "application/json"),
                    ("Authorization", f"Bearer {TOKEN}"),
                    ("X-Hiloop-Signature", signature(body).decode()),
                    ("Content-Length", str(len(body))),
                ]
                connections.append(connect(web.port))
                connections[-1].sendall(request_head(headers) + body)
            # The web process reads in order: by now it has all of them.
            assert get(web.port, "/healthz").status == 200
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        replies = [read_reply(connection) for connection in connections]
        for connection in connections:
            connection.close()
        assert [reply.status for reply in replies] == [202] * count
        assert [json.loads(reply.body)["id"] for reply in replies] == [f"evt_{number}" for number in range(count)]
        # One was on its way when the others gathered; these went in batches.
        assert 2 <= round_trips(client) - before <= 1 + -(-count // 128) + 1
        order = client.lrange("hiloop:hiloop:lane:s-1", 0, -1)
        assert order == [b"evt_%d" % number for number in range(count)]


def test_sigterm_answers_what_is_on_its_way(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    assert post(web.port, answer("approve")).status == 202
    body = answer("approve", event_id="evt_last")
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        connection = connect(web.port)
        headers = [
            ("Content-Type", "application/json"),
            ("Authorization", f"Bearer {TOKEN}"),
            ("X-Hiloop-Signature", signature(body).decode()),
            ("Content-Length", str(len(body))),
        ]
        connection.sendall(request_head(headers) + body)
        assert get(web.port, "/healthz").status == 200
        web.send(signal.SIGTERM)
        wait_until(lambda: refuses(web.port), 5, "the web process takes no more connections")
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    with connection:
        assert read_reply(connection).status == 202
    # uvicorn raises the signal again once it is done.
    assert web.wait() in (0, -signal.SIGTERM)
    with own_redis.client() as client:
        assert client.exists("rq:job:evt_last") == 1
    assert web.defects == []


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        connect(port, timeout=0.5).close()
    except OSError:
        return True
    return False
