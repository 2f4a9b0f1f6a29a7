"""Read the bodies of requests: bounded in size, in time, and in what all of them hold together.

Nothing is known yet of who sends them. When there are too many, or they hold too much, the one that has been on its way
for the longest gives way; so senders who are slow on purpose cannot keep out the others.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from starlette.types import Message, Receive

from receiver.errors import PayloadTooLarge, RequestTimeout, TooManyRequests
from receiver.settings import WebSettings

_STALLED: Final = "the body has stalled"
_GAVE_WAY: Final = "the request gave way to a new one"


class Disconnected(Exception):
    """The client went away before its request was complete: nobody is left to answer."""


class Bodies:
    """All bodies that are on their way to one process."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._reading: dict[asyncio.Task[None], None] = {}  # the longest first
        self._held = 0

    def too_large(self) -> PayloadTooLarge:
        """What is raised for a body over the limit."""
        return PayloadTooLarge(f"the body must not be larger than {self._settings.max_body} bytes")

    def make_room(self) -> None:
        """End the request whose body has been on its way for the longest. Raises `TooManyRequests` if there is none."""
        slowest = next(iter(self._reading), None)
        if slowest is None or slowest is asyncio.current_task():
            raise _too_many()
        del self._reading[slowest]
        slowest.cancel(_GAVE_WAY)

    async def read(self, receive: Receive) -> bytes:
        """The body of the current task's request.

        Raises `PayloadTooLarge`, `RequestTimeout`, `TooManyRequests` or `Disconnected`. Does what `asyncio.timeout`
        does, which costs a tenth of a request; nearly always the body is there already.
        """
        task = cast(asyncio.Task[None], asyncio.current_task())
        timer = asyncio.get_running_loop().call_later(self._settings.body_timeout, task.cancel, _STALLED)
        self._reading[task] = None
        chunks: list[bytes] = []
        try:
            await self._collect(receive, chunks)
        except asyncio.CancelledError as error:
            if error.args not in ((_STALLED,), (_GAVE_WAY,)):
                raise
            task.uncancel()
            if error.args == (_GAVE_WAY,):
                raise _too_many() from None
            raise RequestTimeout("the body did not arrive in time") from None
        finally:
            timer.cancel()
            self._reading.pop(task, None)
            self._held -= sum(map(len, chunks))
        return b"".join(chunks)

    async def _collect(self, receive: Receive, chunks: list[bytes]) -> None:
        size = 0
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            self._held += len(chunk)
            if size > self._settings.max_body:
                raise self.too_large()
            if not message.get("more_body", False):
                return
            if self._held > self._settings.max_bodies:
                self.make_room()


def _too_many() -> TooManyRequests:
    return TooManyRequests("too many requests are being answered; send it again")
