"""Request smuggling: whatever a router in front may read as one request must not hold a second one for us."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tests.support.processes import Running
from tests.support.scripts import nothing_accepted
from tests.support.wire import (
    answer,
    chunk,
    connect,
    exchange,
    genuine,
    request_head,
    statuses_until_closed,
    with_length,
)

BODY = answer("approve", event_id="evt_outer")
LENGTH = ("Content-Length", str(len(BODY)))
CHUNKED = ("Transfer-Encoding", "chunked")
# Signed as the platform does: if it is read as a request, it is accepted.
HIDDEN = with_length(answer("approve", event_id="evt_hidden"))


def head(*more: tuple[str, str]) -> bytes:
    """The head of the outer request."""
    return request_head(genuine(BODY, *more))


def coded(value: str) -> bytes:
    """A chunked request whose coding is written like that, and one behind it."""
    return head(("Transfer-Encoding", value)) + chunk(BODY) + chunk(b"") + HIDDEN


REFUSED: dict[str, bytes] = {
    "CL.TE": head(("Content-Length", str(5 + len(HIDDEN))), CHUNKED) + chunk(b"") + HIDDEN,
    "TE.CL": head(CHUNKED, ("Content-Length", "4")) + chunk(HIDDEN) + chunk(b""),
    "TE and an empty length": head(CHUNKED, ("Content-Length", "")) + chunk(b"") + HIDDEN,
    "two lengths": head(LENGTH, ("Content-Length", str(len(BODY) + len(HIDDEN)))) + BODY + HIDDEN,
    "the same length twice": head(LENGTH, LENGTH) + BODY + HIDDEN,
    "two lengths in one": head(("Content-Length", f"{len(BODY)}, {len(BODY)}")) + BODY + HIDDEN,
    "chunked, then identity": head(CHUNKED, ("Transfer-Encoding", "identity")) + chunk(b"") + HIDDEN,
    "identity, then chunked": head(("Transfer-Encoding", "identity"), CHUNKED) + chunk(b"") + HIDDEN,
    "chunked twice": head(CHUNKED, CHUNKED) + chunk(b"") + HIDDEN,
    **{f"coding {value!r}": coded(value) for value in (
        "xchunked", "chunkedx", "chunked, identity", "identity", "gzip, chunked", "chunked, chunked", "chunked;q=1",
        "\x0bchunked", "chunked\x0b", '"chunked"', "",
    )},
    **{f"length {value!r}": head(("Content-Length", value)) + BODY for value in (
        "-1", f"+{len(BODY)}", hex(len(BODY)), f"{len(BODY)}x", f"{len(BODY)} 0", "9_4_0", "9" * 30, "", "\xb2",
    )},
    **{f"chunk size {size!r}": head(CHUNKED) + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n" for size in (
        b"zz", b"", b"-1", b"+%x" % len(BODY), b"0x%x" % len(BODY), b"%x " % len(BODY), b"f" * 17,
        b"%x;a\n" % len(BODY),
    )},
    "a chunk longer than its size": head(CHUNKED) + b"%x\r\n" % (len(BODY) - 5) + BODY + b"\r\n0\r\n\r\n",
    "line feeds in chunks": head(CHUNKED) + b"%x\n" % len(BODY) + BODY + b"\n0\n\n" + HIDDEN,
    "bare line feeds": with_length(BODY).replace(b"\r\n", b"\n"),
    "bare carriage returns": with_length(BODY).replace(b"\r\n", b"\r"),
    "a folded header": with_length(BODY, ("X-Folded", "a\r\n Content-Length: 0")),
    "a blank before the colon": head(("Transfer-Encoding ", "chunked"), LENGTH) + BODY + HIDDEN,
    "a blank before the name": with_length(BODY).replace(b"Content-Length", b" Content-Length"),
    "no name": with_length(BODY, ("", "a")),
    "no colon": with_length(BODY).replace(b"Host: test", b"Host test"),
    "HTTP/0.9": b"POST /webhooks/hiloop\r\n" + HIDDEN,
    "HTTP/1.2": with_length(BODY).replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "TLS": b"\x16\x03\x01\x02\x00\x01\r\n\r\n" + HIDDEN,
    "CONNECT": b"CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n" + HIDDEN,
    "a method in lower case": with_length(BODY).replace(b"POST", b"post"),
}  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_requests_are_refused(web: Running, redis_client: redis.Redis, raw: bytes) -> None:
    with connect(web.port) as connection:
        connection.sendall(raw)
        statuses = statuses_until_closed(connection)
    assert statuses == [400]
    assert nothing_accepted(redis_client)


ENDS_THE_CONNECTION: dict[str, tuple[bytes, int]] = {
    "HTTP/1.0": (with_length(BODY).replace(b"HTTP/1.1", b"HTTP/1.0") + HIDDEN, 202),
    "Connection: close": (with_length(BODY, ("Connection", "close")) + HIDDEN, 202),
    "upgrade to h2c": (with_length(BODY, ("Connection", "Upgrade"), ("Upgrade", "h2c")) + HIDDEN, 401),
    "upgrade to WebSocket": (
        request_head([("Connection", "Upgrade"), ("Upgrade", "websocket")], method="GET") + HIDDEN,
        405,
    ),
    "a body without a length": (head() + BODY + HIDDEN, 401),
}


@pytest.mark.parametrize(("raw", "status"), ENDS_THE_CONNECTION.values(), ids=ENDS_THE_CONNECTION.keys())
def test_what_follows_is_not_read(web: Running, redis_client: redis.Redis, raw: bytes, status: int) -> None:
    with connect(web.port) as connection:
        connection.sendall(raw)
        statuses = statuses_until_closed(connection)
    assert statuses == [status]
    assert redis_client.exists("rq:job:evt_hidden") == 0


HIDES_IN_A_BODY: dict[str, Callable[[], bytes]] = {
    "GET": lambda: request_head([("Content-Length", str(len(HIDDEN)))], method="GET", path="/healthz") + HIDDEN,
    "GET in chunks": lambda: request_head([CHUNKED], method="GET", path="/healthz") + chunk(HIDDEN) + chunk(b""),
    "HEAD": lambda: request_head([("Content-Length", str(len(HIDDEN)))], method="HEAD", path="/healthz") + HIDDEN,
    "a method that is refused": lambda: request_head([("Content-Length", str(len(HIDDEN)))], method="PUT") + HIDDEN,
    "no such path": lambda: request_head([("Content-Length", str(len(HIDDEN)))], path="/other") + HIDDEN,
    "no JSON": lambda: request_head([("Content-Length", str(len(HIDDEN)))]) + HIDDEN,
}


@pytest.mark.parametrize("make", HIDES_IN_A_BODY.values(), ids=HIDES_IN_A_BODY.keys())
def test_a_body_that_nobody_reads_is_no_request(
    web: Running, redis_client: redis.Redis, make: Callable[[], bytes]
) -> None:
    with connect(web.port) as connection:
        # The last request ends the connection, so that all answers are seen.
        connection.sendall(make() + request_head([("Connection", "close")], method="GET", path="/healthz"))
        statuses = statuses_until_closed(connection)
    assert len(statuses) == 2
    assert nothing_accepted(redis_client)


def test_every_spelling_of_chunked_is_read_alike(web: Running, redis_client: redis.Redis) -> None:
    for value in ("chunked", "Chunked", "CHUNKED"):
        assert exchange(web.port, head(("Transfer-Encoding", value)) + chunk(BODY) + chunk(b"")).status in (200, 202)
    assert redis_client.llen("rq:queue:hiloop") == 1


def test_endless_pipelining_is_given_up(web: Running, redis_client: redis.Redis) -> None:
    with connect(web.port) as connection:
        connection.sendall(request_head([], method="GET", path="/readyz") * 5000)
        statuses = statuses_until_closed(connection)
    assert statuses == [200] * len(statuses)
    assert 1 <= len(statuses) <= 40
