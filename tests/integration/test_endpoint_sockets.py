"""What a hostile or broken sender does on the wire: doubled headers, streams, stalls, disconnects, smuggling."""

from __future__ import annotations

import select
import socket
import struct
import time

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from receiver.signature import sign
from tests.conftest import StartProcess
from tests.support.processes import Running
from tests.support.scripts import nothing_accepted
from tests.support.waiting import wait_until
from tests.support.wire import SECRET, TOKEN, answer, connect, exchange, read_reply, request_head

MAX_BODY = 65536


def genuine(body: bytes) -> list[tuple[str, str]]:
    """The headers of a genuine webhook, without a length."""
    return [
        ("Content-Type", "application/json"),
        ("Authorization", f"Bearer {TOKEN}"),
        ("X-Hiloop-Signature", sign(SECRET.encode(), body)),
    ]


def with_length(body: bytes, *more: tuple[str, str]) -> bytes:
    """A whole genuine request, with ``more`` headers."""
    return request_head([*genuine(body), ("Content-Length", str(len(body))), *more]) + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked_head(body: bytes) -> bytes:
    """The head of a genuine request whose body comes in chunks."""
    return request_head([*genuine(body), ("Transfer-Encoding", "chunked")])


DOUBLED = {
    "authorization": (("Authorization", f"Bearer {TOKEN}"), 401),
    "authorization in another case": (("AUTHORIZATION", f"Bearer {TOKEN}"), 401),
    "authorization, wrong": (("Authorization", "Bearer wrong"), 401),
    "signature": (("X-Hiloop-Signature", "§"), 401),
    "signature, empty": (("X-Hiloop-Signature", ""), 401),
    "content type": (("Content-Type", "application/json"), 415),
    "content type, another": (("Content-Type", "text/plain"), 415),
    "content length": (("Content-Length", "0"), 400),
}


@pytest.mark.parametrize(("header", "status"), DOUBLED.values(), ids=DOUBLED.keys())
def test_exactly_one_of_each_header(
    web: Running, redis_client: redis.Redis, header: tuple[str, str], status: int
) -> None:
    body = answer("approve")
    name, value = header
    raw = with_length(body, (name, value.replace("§", sign(SECRET.encode(), body))))
    assert exchange(web.port, raw).status == status
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_chunked_bodies(web: Running, redis_client: redis.Redis, size: int) -> None:
    body = answer("approve")
    chunks = b"".join(chunk(body[start : start + size]) for start in range(0, len(body), size))
    assert exchange(web.port, chunked_head(body) + chunks + chunk(b"")).status == 202
    (job,) = redis_client.lrange("rq:queue:hiloop", 0, -1)
    assert redis_client.hget(b"rq:job:" + job, "body") == body


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 202), (MAX_BODY + 1, 413)])
def test_a_streamed_body_is_counted(web: Running, redis_client: redis.Redis, size: int, status: int) -> None:
    body = answer("approve")
    body += b" " * (size - len(body))
    raw = chunked_head(body) + chunk(body[:1000]) + chunk(body[1000:]) + chunk(b"")
    assert exchange(web.port, raw).status == status


def test_a_stream_that_never_ends_is_given_up(web: Running) -> None:
    with connect(web.port) as connection:
        connection.sendall(chunked_head(b"") + chunk(b" " * (MAX_BODY + 1)))  # and no end
        reply = read_reply(connection)
        assert (reply.status, reply.header("connection")) == (413, "close")
        assert wait_closed(connection)


def wait_closed(connection: socket.socket) -> bool:
    """Whether the other side closes the connection."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return True


def test_a_body_that_stalls_gives_408(
    redis_server: EmbeddedRedis, web_of: StartProcess, redis_client: redis.Redis
) -> None:
    web = web_of(redis_server.url, {"HILOOP_BODY_TIMEOUT": "200ms"})
    body = answer("approve")
    for raw in (with_length(body)[:-1], chunked_head(body) + chunk(body)):
        started = time.monotonic()
        with connect(web.port) as connection:
            connection.sendall(raw)
            reply = read_reply(connection)
            assert (reply.status, reply.header("connection")) == (408, "close")
            assert wait_closed(connection)
        assert 0.2 <= time.monotonic() - started < 5
    # A sender who trickles gets no more time than one who stalls.
    with connect(web.port) as connection:
        connection.sendall(chunked_head(body))
        while not select.select([connection], [], [], 0.02)[0]:
            connection.sendall(chunk(b" "))
        assert read_reply(connection).status == 408
    assert web.defects == []
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("abort", [False, True], ids=["close", "reset"])
def test_an_early_disconnect_is_quiet(web: Running, redis_client: redis.Redis, abort: bool) -> None:
    already = len(web.log)
    with connect(web.port) as connection:
        connection.sendall(with_length(answer("approve"))[:-10])
        if abort:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: "sender_went_away" in web.log[already:])
    lines = web.log[already:].splitlines()
    assert [line for line in lines if " info " not in line] == []
    assert nothing_accepted(redis_client)


def test_a_sender_who_does_not_wait_for_the_answer_is_quiet(web: Running, redis_client: redis.Redis) -> None:
    already = len(web.log)
    with connect(web.port) as connection:
        connection.sendall(with_length(answer("approve", event_id="evt_gone")))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Read and answered: the event is there. Not read any more: it is not. Never anything else.
    wait_until(lambda: len(web.log) > already)
    assert [line for line in web.log[already:].splitlines() if " info " not in line] == []


REFUSED_BY_THE_PARSER = {
    "chunked and a length": lambda body: (
        request_head([*genuine(body), ("Transfer-Encoding", "chunked"), ("Content-Length", str(len(body)))]) + body
    ),
    "negative length": lambda body: request_head([*genuine(body), ("Content-Length", "-1")]) + body,
    "length that is no number": lambda body: request_head([*genuine(body), ("Content-Length", "1x")]) + body,
    "two lengths in one": lambda body: request_head([*genuine(body), ("Content-Length", "5, 5")]) + body,
    "bare line feeds": lambda body: with_length(body).replace(b"\r\n", b"\n"),
    "folded header": lambda body: with_length(body, ("X-Folded", "a\r\n b")),
    "blank before the colon": lambda body: with_length(body, ("X-Blank ", "a")),
    "chunk size that is no number": lambda body: chunked_head(body) + b"zz\r\n",
    "no HTTP": lambda body: b"\x16\x03\x01\x02\x00\x01\r\n\r\n" + body,
}


@pytest.mark.parametrize("make", REFUSED_BY_THE_PARSER.values(), ids=REFUSED_BY_THE_PARSER.keys())
def test_ambiguous_requests_are_refused(web: Running, redis_client: redis.Redis, make: object) -> None:
    raw = make(answer("approve"))  # type: ignore[operator]  # the table's functions
    assert exchange(web.port, raw).status == 400
    assert nothing_accepted(redis_client)


def test_one_connection_serves_many_requests(web: Running, redis_client: redis.Redis) -> None:
    with connect(web.port) as connection:
        statuses = []
        for number in range(3):
            body = answer("approve", event_id=f"evt_{number}")
            # A refusal in between, whose body the endpoint does not look at, must not be taken for a request.
            for raw in (with_length(body), with_length(body).replace(b"POST", b"PUT", 1), with_length(body)):
                connection.sendall(raw)
                statuses.append(read_reply(connection).status)
        assert statuses == [202, 405, 200] * 3


def test_pipelined_requests_are_answered_in_order(web: Running, redis_client: redis.Redis) -> None:
    with connect(web.port) as connection:
        bodies = [answer("approve", event_id=f"evt_{number}") for number in range(5)]
        connection.sendall(b"".join(with_length(body) for body in bodies))
        # One reader for all: what it reads ahead belongs to the next reply.
        stream = connection.makefile("rb")
        for number in range(5):
            assert b" 202 " in stream.readline()
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert b"evt_%d" % number in stream.read(length)
        stream.close()


def test_expect_continue(web: Running, redis_client: redis.Redis) -> None:
    body = answer("approve")
    with connect(web.port) as connection:
        connection.sendall(
            request_head([*genuine(body), ("Content-Length", str(len(body))), ("Expect", "100-continue")])
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert read_reply(connection).status == 202
