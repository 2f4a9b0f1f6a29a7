"""Limits have names: whoever is over one is told so, is counted, and does not flood the log."""

from __future__ import annotations

import json
import socket
from collections import Counter

import redis

from receiver.embedded import EmbeddedRedis
from receiver.refusals import LINES
from tests.conftest import StartProcess
from tests.support.processes import Running
from tests.support.waiting import wait_until
from tests.support.wire import (
    Reply,
    answer,
    connect,
    exchange,
    post,
    read_reply,
    request_head,
    statuses_until_closed,
    with_length,
)

SLOW_BODY = with_length(answer("approve", event_id="evt_slow"))[:-1]
HEAD_ONLY = SLOW_BODY.partition(b"\r\n\r\n")[0] + b"\r\nExpect: 100-continue\r\n\r\n"
WRONG = {"Authorization": "Bearer wrong-token-here"}


def code_of(reply: Reply) -> str:
    """The code of an error."""
    return str(json.loads(reply.body)["error"]["code"])


def is_alive(web: Running) -> bool:
    """Whether it answers."""
    return exchange(web.port, request_head([], method="GET", path="/healthz")).status == 200


def test_connections(redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess) -> None:
    web = web_of(redis_server.url, {"HILOOP_MAX_CONNECTIONS": "3", "HILOOP_MAX_REQUESTS": "3"})
    busy = [connect(web.port) for _ in range(3)]
    for connection in busy:
        connection.sendall(HEAD_ONLY)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 "), "its request is being answered"
    with connect(web.port) as connection:
        reply = read_reply(connection)
        assert (reply.status, code_of(reply), reply.header("retry-after")) == (503, "too_many_connections", "5")
    for connection in busy:
        connection.sendall(SLOW_BODY.partition(b"\r\n\r\n")[2] + b"}")
        assert read_reply(connection).status in (200, 202)
    # All of them idle now: the one that has been so for the longest makes room.
    assert is_alive(web)
    assert statuses_until_closed(busy[0]) == []
    busy[2].sendall(with_length(answer("approve")))
    assert read_reply(busy[2]).status == 202
    for connection in busy:
        connection.close()


def test_requests(redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess) -> None:
    web = web_of(redis_server.url, {"HILOOP_MAX_REQUESTS": "3"})
    slow: list[socket.socket] = []
    for _ in range(5):
        slow.append(connect(web.port))
        slow[-1].sendall(SLOW_BODY)
        assert is_alive(web)  # it reads in order: by now it has the slow one as well
    # The longest have given way to the later ones.
    for connection in slow[:2]:
        reply = read_reply(connection)
        assert (reply.status, code_of(reply), reply.header("retry-after")) == (503, "too_many_requests", "5")
        assert statuses_until_closed(connection) == []
    assert post(web.port, answer("approve")).status == 202
    slow[4].sendall(b"}")
    assert read_reply(slow[4]).status == 202
    for connection in slow:
        connection.close()


def test_bytes_of_bodies(redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess) -> None:
    web = web_of(redis_server.url, {"HILOOP_MAX_BODIES": "1mb", "HILOOP_MAX_BODY": "300000"})
    slow: list[socket.socket] = []
    body = answer("approve", event_id="evt_slow")
    large = with_length(body + b" " * (250_000 - len(body)))[:-1]
    for _ in range(6):
        slow.append(connect(web.port))
        slow[-1].sendall(large)
    # 1 MiB holds four of them.
    for connection in slow[:2]:
        assert code_of(read_reply(connection)) == "too_many_requests"
    assert post(web.port, answer("approve")).status == 202
    slow[5].sendall(b" ")
    assert read_reply(slow[5]).status == 202
    for connection in slow:
        connection.close()


def test_pending_events(redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess) -> None:
    web = web_of(redis_server.url, {"HILOOP_MAX_PENDING": "3"})
    first = answer("approve", event_id="evt_first", session_id="s-1")
    assert post(web.port, first).status == 202
    # Those that wait for their turn in a session wait as well.
    assert [post(web.port, answer("approve", session_id="s-1")).status for _ in range(3)] == [202, 202, 503]
    refused = answer("approve", event_id="evt_refused")
    reply = post(web.port, refused)
    assert (reply.status, code_of(reply), reply.header("retry-after")) == (503, "too_many_pending", "30")
    assert post(web.port, first).status == 200, "what is known is still told"
    wait_until(lambda: redis_client.hget("hiloop:hiloop:counters", "refused:too_many_pending") == b"2")
    redis_client.lpop("rq:queue:hiloop")
    assert post(web.port, refused).status == 202, "it was not remembered, so it can be sent again"


def test_refusals_of_one_sender(redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess) -> None:
    web = web_of(redis_server.url, {"HILOOP_PROXIES": "1", "HILOOP_MAX_REFUSALS": "5"})
    body = answer("approve", event_id="evt_1")

    def send(forwarded: str, **change: str) -> Reply:
        return post(web.port, body, change={"X-Forwarded-For": forwarded, **change})

    assert [send("192.0.2.1", **WRONG).status for _ in range(5)] == [401] * 5
    turned_away = send("192.0.2.1")
    assert (turned_away.status, code_of(turned_away)) == (429, "too_many_refusals")
    assert 1 <= int(turned_away.header("retry-after")) <= 12
    # What stands in front of the router's own entry anybody can have written.
    assert send("198.51.100.7, 192.0.2.1").status == 429
    assert send("192.0.2.1, 198.51.100.7").status == 202
    assert post(web.port, body).status == 200, "the router itself has done nothing"


def test_no_sender_is_turned_away_while_it_is_not_known_who_sends(web: Running, redis_client: redis.Redis) -> None:
    statuses = Counter(post(web.port, answer("approve"), change=WRONG).status for _ in range(100))
    assert statuses == {401: 100}
    assert post(web.port, answer("approve")).status == 202


def test_an_attack_is_counted_and_does_not_flood_the_log(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    for _ in range(50):
        post(web.port, b"{}", change=WRONG)
        exchange(web.port, b"no HTTP at all\r\n\r\n")
    for code in ("unauthorized", "bad_request"):
        assert len([line for line in web.log.splitlines() if f"code={code}" in line]) == LINES
    counted = {b"refused": b"100", b"refused:bad_token": b"50", b"refused:bad_request": b"50"}
    with own_redis.client() as client:
        wait_until(lambda: client.hgetall("hiloop:hiloop:counters") == counted)
