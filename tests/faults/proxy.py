"""A TCP proxy in front of Redis that breaks things: delays, resets, dropped replies, and kills at named points.

It runs in a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Self

POINTS = ("claim.sent", "claim.answered", "close.sent", "close.answered")


class RedisProxy:
    """Forwards to ``upstream_port`` on the loopback interface; when it is changed, new connections go there."""

    def __init__(self, upstream_port: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.drop_replies = 0
        self.dropped = 0
        self.upstream_port = upstream_port
        self._point = ""
        self._at_point: Callable[[], None] | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        """The address to give to clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def at(self, point: str, action: Callable[[], None]) -> None:
        """Call ``action`` once, when the next command or reply passes ``point``; it is not forwarded."""
        self._at_point, self._point = action, point

    def reset_all(self) -> None:
        """Cut every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        self._cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, up_writer}
        state = {"last": ""}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, up_writer, state, upwards=True))
                tasks.create_task(self._forward(up_reader, writer, state, upwards=False))
        except* (OSError, EOFError):
            pass
        finally:
            self._connections -= {writer, up_writer}
            for end in (writer, up_writer):
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: dict[str, str], *, upwards: bool
    ) -> None:
        while chunk := await reader.read(1 << 16):
            if upwards:
                state["last"] = _kind(chunk)
            if self.delay:
                await asyncio.sleep(self.delay)
            if self._strikes(state["last"], upwards):
                continue
            if not upwards and state["last"] and self.drop_replies > 0:
                self.drop_replies -= 1
                self.dropped += 1
                raise EOFError
            writer.write(chunk)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        raise EOFError

    def _strikes(self, last: str, upwards: bool) -> bool:
        point = f"{last}.{'sent' if upwards else 'answered'}"
        if self._at_point is None or point != self._point:
            return False
        action, self._at_point = self._at_point, None
        action()
        return True


def _kind(chunk: bytes) -> str:
    """Tell closing and claiming steps of a worker apart from the rest, by the script's arguments."""
    if b"EVALSHA" not in chunk:
        return ""
    arguments = chunk.split(b"\r\n")
    if b"done" in arguments:
        return "close"
    # script, 0 keys, worker, lease, want, in flight, closings: shorter than any other script's call
    return "claim" if len(arguments) < 24 else ""
