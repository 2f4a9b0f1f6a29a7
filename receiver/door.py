"""Connections of the web process, and the heads of requests: the limits that uvicorn leaves open.

uvicorn waits for ever for headers, whatever their size, and for whoever does not read its answers; it takes any number
of connections, and of requests that are sent before the first is answered. Here all of that has a limit. When there
are too many connections, the one that has been sending its headers for the longest makes room: slow senders lose.

The parser is httptools: h11 accepts requests that smuggle others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from receiver.errors import HeadersTooLarge, RequestError, RequestTimeout, TooManyConnections, TooManyRequests
from receiver.ingest import error_body
from receiver.refusals import Refusals
from receiver.settings import WebSettings

KEEP_ALIVE_SECONDS: Final = 75  # longer than the routers of platforms keep theirs
# Requests on one connection that wait for the answer to the one before; a platform sends none at all.
MAX_PIPELINED: Final = 32
_LOOK_SECONDS: Final = 1.0

# uvicorn warns of every single request that it cannot read; `Refusals` counts them and logs some.
_logger: Final = logging.getLogger("uvicorn.error.http")
_logger.setLevel(logging.ERROR)


class Door:
    """The connections of one process that wait for something of their sender, each since when, the longest first."""

    def __init__(self, settings: WebSettings, refusals: Refusals) -> None:
        self.settings = settings
        self.refusals = refusals
        self.heads: dict[GuardedProtocol, float] = {}  # for the rest of the headers
        self.idle: dict[GuardedProtocol, float] = {}  # for another request
        self.unread: dict[GuardedProtocol, float] = {}  # for answers to be read
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, connection: GuardedProtocol, number: int) -> bool:
        """Let in a new connection, the ``number``-th of now; False if there is no room and nobody to make some."""
        if number > self.settings.max_connections:
            longest = next(iter(self.heads), None) or next(iter(self.idle), None)
            if longest is None:
                return False
            longest.turn_away(TooManyConnections("the connection gave way to a new one; try again"))
        self.heads[connection] = asyncio.get_running_loop().time()
        if self._timer is None:
            self._look_later()
        return True

    def leave(self, connection: GuardedProtocol) -> None:
        """A connection is over."""
        for waiting in (self.heads, self.idle, self.unread):
            waiting.pop(connection, None)

    def _look_later(self) -> None:
        seconds = min(_LOOK_SECONDS, self.settings.header_timeout / 2)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in _longer_than(self.settings.header_timeout, self.heads, now):
            connection.turn_away(RequestTimeout("the headers did not arrive in time"))
        for connection in _longer_than(KEEP_ALIVE_SECONDS, self.idle, now):
            connection.transport.close()
        for connection in _longer_than(self.settings.body_timeout, self.unread, now):
            connection.transport.abort()
        if self.heads or self.idle or self.unread:
            self._look_later()


def _longer_than(seconds: float, waiting: dict[GuardedProtocol, float], now: float) -> list[GuardedProtocol]:
    return list(itertools.takewhile(lambda connection: now - waiting[connection] >= seconds, waiting))


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, through the door of its application (`receiver.app.ReceiverApp.door`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self._door: Door = self.config.loaded_app.door
        self._in_head = False
        self._read = 0  # bytes of the last read
        self._overhead = 0  # bytes since the parser has last begun a request or found some body
        self._refusal: RequestError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Called by the event loop."""
        super().connection_made(transport)
        if not self._door.enter(self, len(self.connections)):
            self._refuse(TooManyConnections("too many connections are open; try again"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._read = len(data)
        self._overhead += self._read
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._overhead > self._door.settings.max_headers:  # of a head, of trailers or of a chunk's extensions
            self._refuse(self._too_large())
        elif self._in_head and self not in self._door.heads:
            self._door.idle.pop(self, None)
            self._door.heads[self] = self.loop.time()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        super().on_message_begin()
        self._in_head = True
        self._overhead = 0

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        super().on_body(body)
        self._overhead = 0

    def on_headers_complete(self) -> None:
        """Called by the parser; what it raises ends in `send_400_response`."""
        self._in_head = False
        self._door.heads.pop(self, None)
        self._door.idle.pop(self, None)
        self._refusal = self._objection()
        if self._refusal is not None:
            raise self._refusal
        super().on_headers_complete()
        self.headers = []  # where trailers go: the parser must not add them to the headers of a request that has begun

    def _objection(self) -> RequestError | None:
        largest = self._door.settings.max_headers
        # Only of a head that came in large reads it has to be measured how much of them it is.
        if self._overhead + self._read > largest and self._head_size() > largest:
            return self._too_large()
        if len(self.pipeline) >= MAX_PIPELINED:
            return TooManyRequests("too many requests were sent before the first was answered")
        if b"transfer-encoding" in dict(self.headers):
            codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
            if codings != [b"chunked"]:
                # Where a router reads another length than we do, it takes the end of a request for a request.
                return RequestError("Transfer-Encoding must be chunked, and be there once")
        return None

    def on_response_complete(self) -> None:
        """Called once an answer is written."""
        super().on_response_complete()
        if self.cycle.response_complete and not self._in_head:
            self._door.idle[self] = self.loop.time()

    def pause_writing(self) -> None:
        """Called by the event loop: answers are not read."""
        super().pause_writing()
        self._door.unread[self] = self.loop.time()

    def resume_writing(self) -> None:
        """Called by the event loop: they are again."""
        super().resume_writing()
        self._door.unread.pop(self, None)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's message, which ours replaces
        """Called by uvicorn for what is no HTTP, and for what `on_headers_complete` has refused."""
        self._refuse(self._refusal or RequestError("the request is not valid HTTP/1.1"))

    def _unsupported_upgrade_warning(self) -> None:
        """Called by uvicorn. What follows is in another protocol as the sender sees it: it is not read."""
        self.cycle.keep_alive = False

    def turn_away(self, error: RequestError) -> None:
        """End the connection, with an answer if a request has begun."""
        if self._in_head:
            self._refuse(error)
        else:
            self.transport.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"the headers must not be larger than {self._door.settings.max_headers} bytes")

    def _refuse(self, error: RequestError) -> None:
        if self.transport.is_closing():
            return
        refusals = self._door.refusals
        refusals.note(error, refusals.source(self.client, self.headers or ()))
        self._in_head = False
        if self._answers_another():
            self.cycle.keep_alive = False  # ends the connection after that answer
            self.flow.pause_reading()
        else:
            body = error_body(error)
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *error.headers]
            lines = [b"%s: %s\r\n" % header for header in dict([*headers, (b"connection", b"close")]).items()]
            self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
            self.transport.close()

    def _answers_another(self) -> bool:
        """Whether a request before the refused one has no answer yet: that of the refused one would be taken for it."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return bool(self.pipeline) or not self.cycle.more_body
