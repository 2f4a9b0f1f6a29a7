"""What goes wrong on the wire, against real servers that misbehave: retries, limits, failures that become ours."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from receiver.client import (
    AuthenticationFailed,
    ConnectionFailed,
    HiloopError,
    MalformedAnswer,
    NotFound,
    RateLimited,
    Retries,
    TimedOut,
    ValidationFailed,
    wire,
)

STATS = b'{"total":1,"pending":0,"delivered":1,"failed":0,"successRate":1,"averageLatencyMs":5,"since":null}'
Reply = tuple[int, dict[str, str], bytes]
GOOD: Reply = (200, {}, STATS)


class Scripted:
    """An ASGI application that gives one reply after the other, the last one for ever, and notes what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((f"{scope['method']} {scope['path']}", headers, body))
        status, extra, answer = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        raw = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": answer})


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server below HTTP: hands every connection, once its request is here, to ``answer``."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def error(status: int, code: str = "some_code", message: str = "Some message.", **headers: str) -> Reply:
    """An error as the API spells it."""
    body = f'{{"error":{{"code":"{code}","message":"{message}"}}}}'.encode()
    return status, {"X-Request-Id": "req_1", **{key.replace("_", "-"): value for key, value in headers.items()}}, body


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_failures_are_tried_again(connect: Any, serving: Any, status: int) -> None:
    app = Scripted(error(status), error(status, Retry_After="0"), GOOD)
    with serving(app) as url:
        assert connect(url).get_webhook_delivery_stats().total == 1
    assert len(app.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "status", "tries"),
    [
        (error(400), ValidationFailed, 400, 1),
        (error(401), AuthenticationFailed, 401, 1),
        (error(403), AuthenticationFailed, 403, 1),
        (error(404), NotFound, 404, 1),
        (error(408), TimedOut, 408, 4),
        (error(409), HiloopError, 409, 1),
        (error(413), ValidationFailed, 413, 1),
        (error(422), ValidationFailed, 422, 1),
        (error(429, Retry_After="3600"), RateLimited, 429, 1),
        (error(429), RateLimited, 429, 4),
        (error(500), HiloopError, 500, 4),
        (error(301, Location="http://127.0.0.1:9/elsewhere"), HiloopError, 301, 1),
        (error(307, Location="/elsewhere"), HiloopError, 307, 1),
        ((302, {"Location": "/elsewhere"}, b""), HiloopError, 302, 1),
    ],
)
def test_failures_have_their_errors(
    connect: Any, serving: Any, reply: Reply, kind: type[HiloopError], status: int, tries: int
) -> None:
    app = Scripted(reply)
    with serving(app) as url, pytest.raises(HiloopError) as caught:
        connect(url).get_webhook_delivery_stats()
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(app.requests) == tries
    if reply[2]:
        assert (caught.value.code, caught.value.message) == ("some_code", "Some message.")
        assert caught.value.request_id == "req_1"
    if status == 429 and tries == 1:
        assert caught.value.retry_after == 3600
    if 300 <= status < 400:
        assert "HILOOP_BASE_URL" in str(caught.value)


def test_post_keeps_its_idempotency_key_through_retries(connect: Any, serving: Any) -> None:
    app = Scripted(error(503), error(503), (204, {}, b""), error(503), (204, {}, b""))
    with serving(app) as url:
        client = connect(url)
        client.send_typing("s")
        client.send_typing("s")
    keys = [headers["idempotency-key"] for _, headers, _ in app.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3] == keys[4]
    assert len({body for _, _, body in app.requests}) == 1


@pytest.mark.parametrize(
    "reply",
    [
        (200, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b"\xff\xfe"),
        (200, {}, b'{"total":"1"}'),
        (200, {}, b'{"total":NaN}'),
        (200, {}, b'{"total":1,"total":2}'),
        (200, {}, b"[" * 100_000),
        (200, {}, b'{"total":' + b"9" * 10_000 + b"}"),
        (200, {"Content-Encoding": "gzip"}, b"no gzip"),
        (204, {}, b""),
    ],
)
def test_malformed_answers(connect: Any, serving: Any, reply: Reply) -> None:
    with serving(Scripted(reply)) as url, pytest.raises(MalformedAnswer):
        connect(url).get_webhook_delivery_stats()


def test_answer_that_is_too_large(connect: Any, serving: Any) -> None:
    reply = (200, {}, b" " * (wire.MAX_ANSWER + 1))
    with serving(Scripted(reply)) as url, pytest.raises(MalformedAnswer, match="larger than"):
        connect(url).get_webhook_delivery_stats()


def test_error_texts_of_the_server_are_tamed(connect: Any, serving: Any) -> None:
    key = "hlp_" + "5e" * 32
    reply = error(422, message=f"bad key {key} \\u001b[31m" + "x" * 1000)
    with serving(Scripted(reply)) as url, pytest.raises(ValidationFailed) as caught:
        connect(url).get_webhook_delivery_stats()
    assert key not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.message) < 600


def close_at_once(_connection: socket.socket) -> None:
    """No answer."""


def break_off(connection: socket.socket) -> None:
    """Half an answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def speak_nonsense(connection: socket.socket) -> None:
    """No HTTP."""
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


@pytest.mark.parametrize("answer", [close_at_once, break_off, speak_nonsense])
def test_broken_connections(connect: Any, answer: Any) -> None:
    with raw_server(answer) as url, pytest.raises(ConnectionFailed) as caught:
        connect(url).get_webhook_delivery_stats()
    assert caught.value.status is None
    assert caught.value.hint


def test_nobody_listens(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port} cannot be reached"):
        connect(f"http://127.0.0.1:{port}").get_webhook_delivery_stats()


def test_silence_times_out(connect: Any) -> None:
    done = threading.Event()
    with raw_server(lambda _connection: done.wait(10) and None) as url:
        client = connect(url, timeout=0.05, retries=Retries(attempts=1))
        with pytest.raises(TimedOut):
            client.get_webhook_delivery_stats()
        done.set()


def test_trickle_times_out(connect: Any) -> None:
    """Bytes that come one by one, each in time, are as slow as silence."""

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not done.wait(0.01):
                connection.sendall(b" ")
        except OSError:
            pass

    done = threading.Event()
    with raw_server(trickle) as url:
        client = connect(url, timeout=0.2, retries=Retries(attempts=1))
        started = time.monotonic()
        with pytest.raises(TimedOut, match="took too long"):
            client.get_webhook_delivery_stats()
        assert time.monotonic() - started < 5
        done.set()


def test_closed_client(connect: Any) -> None:
    client = connect("http://127.0.0.1:9")
    client.close()
    with pytest.raises(HiloopError, match="the client is closed"):
        client.get_webhook_delivery_stats()


def test_proxy_of_the_environment_gets_nothing_on_loopback(
    connect: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(Scripted(GOOD)) as url:
        assert connect(url).get_webhook_delivery_stats().total == 1


def every_httpx_error() -> Sequence[type[Exception]]:
    """Every exception that httpx exports."""
    named = (getattr(httpx, name) for name in httpx.__all__)
    return [each for each in named if isinstance(each, type) and issubclass(each, Exception)]


class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Raises one error for every request."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def handle_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002  # httpx's interface
        raise self._failure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002  # the same
        raise self._failure


@pytest.mark.parametrize("kind", every_httpx_error(), ids=lambda kind: kind.__name__)
def test_every_httpx_error_is_one_of_ours(connect: Any, kind: type[Exception]) -> None:
    failure = kind.__new__(kind)  # their arguments differ
    client = connect("http://127.0.0.1:9", transport=Failing(failure), retries=Retries(attempts=1))
    with pytest.raises(HiloopError) as caught:
        client.get_webhook_delivery_stats()
    assert kind.__name__ in str(caught.value)
    expected = {
        httpx.TimeoutException: TimedOut,
        httpx.NetworkError: ConnectionFailed,
        httpx.ProxyError: ConnectionFailed,
        httpx.RemoteProtocolError: ConnectionFailed,
        httpx.DecodingError: MalformedAnswer,
    }
    assert type(caught.value) is next(
        (ours for theirs, ours in expected.items() if issubclass(kind, theirs)), HiloopError
    )
