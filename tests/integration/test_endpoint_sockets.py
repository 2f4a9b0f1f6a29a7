"""What an honest sender may do on the wire: chunks, several requests on a connection, pipelining, 100-continue."""

from __future__ import annotations

import pytest
import redis

from tests.support.processes import Running
from tests.support.wire import (
    answer,
    chunk,
    chunked_head,
    connect,
    exchange,
    genuine,
    read_reply,
    request_head,
    with_length,
)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_chunked_bodies(web: Running, redis_client: redis.Redis, size: int) -> None:
    body = answer("approve")
    chunks = b"".join(chunk(body[start : start + size]) for start in range(0, len(body), size))
    assert exchange(web.port, chunked_head(body) + chunks + chunk(b"")).status == 202
    (job,) = redis_client.lrange("rq:queue:hiloop", 0, -1)
    assert redis_client.hget(b"rq:job:" + job, "body") == body


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
        connection.sendall(request_head(genuine(body, ("Content-Length", str(len(body))), ("Expect", "100-continue"))))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert read_reply(connection).status == 202
