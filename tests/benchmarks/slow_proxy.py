"""Put Redis 1 ms away: a proxy process that holds back every chunk for the given milliseconds, each way.

python -m tests.benchmarks.slow_proxy <port> <upstream port> <ms>
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class _Side(asyncio.Protocol):
    """One side of a connection; writes what it gets to its peer after the delay, in order."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.peer: asyncio.Transport | None = None
        self.waiting: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self.delay, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.peer is None:
            self.waiting.append(data)
        elif not self.peer.is_closing():
            self.peer.write(data)

    def connect(self, peer: asyncio.Transport) -> None:
        """Pass on to ``peer`` from now on."""
        self.peer = peer
        for data in self.waiting:
            peer.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.peer is not None:
            self.peer.close()


async def serve(port: int, upstream: int, delay: float) -> None:
    """Run until cancelled."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def accept() -> _Side:
        client = _Side(delay)

        async def reach() -> None:
            _, server = await loop.create_connection(lambda: _Side(delay), "127.0.0.1", upstream)
            server.connect(client.transport)
            client.connect(server.transport)

        task = loop.create_task(reach())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return client

    server = await loop.create_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
