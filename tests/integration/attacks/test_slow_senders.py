"""Slow senders, hundreds at once, while good requests go on; and senders who go away early."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.processes import Running, start_web
from tests.support.scripts import nothing_accepted
from tests.support.waiting import wait_until
from tests.support.wire import (
    answer,
    chunk,
    chunked_head,
    connect,
    post,
    read_reply,
    request_head,
    statuses_until_closed,
    with_length,
)

BODY = answer("approve", event_id="evt_slow")
HEAD = request_head([("X-Slow", "x")])[:-2]  # all but the empty line
SLOW = {
    "nothing at all": (b"", b""),
    "headers": (HEAD, b"X"),
    "a body": (with_length(BODY)[:-200], BODY[-200:-199]),
    "chunks": (chunked_head(BODY) + chunk(BODY), chunk(b" ")),
}
GOOD = 30


@pytest.fixture(scope="module")
def impatient(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A web process whose senders have half a second."""
    settings = {"HILOOP_BODY_TIMEOUT": "500ms", "HILOOP_HEADER_TIMEOUT": "500ms", "HILOOP_LOG_LEVEL": "warning"}
    running = start_web(redis_server.url, tmp_path_factory.mktemp("impatient"), settings)
    yield running
    running.stop()


@pytest.mark.parametrize(("start", "drop"), SLOW.values(), ids=SLOW.keys())
def test_a_sender_who_trickles_gets_no_more_time_than_one_who_stalls(
    impatient: Running, redis_client: redis.Redis, start: bytes, drop: bytes
) -> None:
    for trickles in (False, True):
        began = time.monotonic()
        with connect(impatient.port) as connection:
            connection.sendall(start)
            while not select.select([connection], [], [], 0.02)[0]:
                if trickles:
                    connection.sendall(drop)
            assert statuses_until_closed(connection) == ([408] if start or drop else [])
        assert 0.4 <= time.monotonic() - began < 5
    assert nothing_accepted(redis_client)
    assert impatient.log == ""


def test_headers_that_stall_on_a_connection_that_was_used(impatient: Running, redis_client: redis.Redis) -> None:
    with connect(impatient.port) as connection:
        connection.sendall(with_length(BODY))
        assert read_reply(connection).status == 202
        connection.sendall(b"P")  # ends uvicorn's own wait for another request
        assert statuses_until_closed(connection) == [408]


@pytest.mark.parametrize("kind", ["headers", "a body"])
@pytest.mark.parametrize(
    "limits",
    [{}, {"HILOOP_MAX_CONNECTIONS": "100", "HILOOP_MAX_REQUESTS": "50"}],
    ids=["within the limits", "over the limits"],
)
def test_hundreds_of_slow_senders_do_not_hold_up_the_others(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess, kind: str, limits: dict[str, str]
) -> None:
    web = web_of(redis_server.url, {"HILOOP_LOG_LEVEL": "warning", **limits})
    start, drop = SLOW[kind]
    slow: list[socket.socket] = []
    took = []
    try:
        for number in range(300):
            slow.append(connect(web.port))
            slow[-1].sendall(start)
            if number % 10 == 9:
                began = time.monotonic()
                assert post(web.port, answer("approve")).status == 202
                took.append(time.monotonic() - began)
                trickle(slow, drop)
        assert len(took) == GOOD
        assert sorted(took)[GOOD // 2] < 0.2
        assert max(took) < 2
    finally:
        for connection in slow:
            connection.close()
    assert redis_client.llen("rq:queue:hiloop") + redis_client.zcard("rq:deferred:hiloop") == GOOD


def trickle(connections: list[socket.socket], drop: bytes) -> None:
    """Send one byte more on each of those that are still open."""
    for connection in connections:
        try:
            connection.sendall(drop)
        except OSError:
            continue


@pytest.mark.parametrize("abort", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize(
    "sent", [1, 20, 200, -10], ids=["in the method", "in the target", "in the headers", "in the body"]
)
def test_an_early_disconnect_is_quiet(web: Running, redis_client: redis.Redis, sent: int, abort: bool) -> None:
    already = len(web.log)
    for _ in range(20):
        with connect(web.port) as connection:
            connection.sendall(with_length(BODY)[:sent])
            if abort:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert post(web.port, answer("approve", event_id="evt_after")).status == 202
    wait_until(lambda: "evt_after" in web.log[already:])
    assert [line for line in web.log[already:].splitlines() if " info " not in line and "more=" not in line] == []
    assert redis_client.keys("rq:job:*") == [b"rq:job:evt_after"]


def test_a_sender_who_does_not_wait_for_the_answer_is_quiet(web: Running, redis_client: redis.Redis) -> None:
    already = len(web.log)
    with connect(web.port) as connection:
        connection.sendall(with_length(BODY))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Read and answered: the event is there. Not read any more: it is not. Never anything else.
    assert post(web.port, answer("approve", event_id="evt_after")).status == 202
    wait_until(lambda: "evt_after" in web.log[already:])
    assert [line for line in web.log[already:].splitlines() if " info " not in line and "more=" not in line] == []
