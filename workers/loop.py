"""The event loop on which handlers run, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from workers.claims import Claimed
from workers.dispatch import Dispatcher


class HandlerLoop:
    """Runs a dispatcher's events on an event loop in a thread."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._thread = threading.Thread(target=self._main, name="handlers", daemon=True)

    def start(self) -> None:
        """Start the thread; returns when the loop runs."""
        self._thread.start()
        self._ready.wait()

    def start_events(self, claimed: Sequence[Claimed]) -> None:
        """Have events run; from any thread."""
        self.call(self._start_each, claimed)

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call ``function`` on the loop; from any thread."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self, timeout: float = 1.0) -> bool:
        """End the loop. Returns False if a handler that blocks it has kept it from ending in ``timeout`` seconds."""
        self.call(self._end.set)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _start_each(self, claimed: Sequence[Claimed]) -> None:
        # One callback an event, so that opening a batch does not hold up handlers that are under way.
        for one in claimed:
            self._loop.call_soon(self.dispatcher.start, one)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(self._until_end())

    async def _until_end(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._ready.set()
        publishing = asyncio.create_task(self.dispatcher.clients.publish_key())
        await self._end.wait()
        publishing.cancel()
        await self.dispatcher.clients.aclose()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
