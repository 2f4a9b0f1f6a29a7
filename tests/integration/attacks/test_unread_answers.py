"""Answers that nobody reads end their connection. Ours are too small to fill the buffers in between, so: larger."""

from __future__ import annotations

import asyncio
import socket
import time

import uvicorn
from starlette.types import Receive, Scope, Send

from receiver.counts import Counts
from receiver.door import Door
from receiver.embedded import free_port
from receiver.refusals import Refusals
from receiver.settings import WebSettings
from receiver.testing import MemoryInbox
from receiver.web import server_options
from tests.support.stage import until
from tests.support.wire import request_head


class LargeAnswers:
    """An application behind our door whose answers fit into no buffer."""

    def __init__(self, settings: WebSettings) -> None:
        self.door = Door(settings, Refusals(Counts(MemoryInbox().count), proxies=None, limit=60))

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer in two parts: whoever does not read the first one holds up the second."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": bytes(16 * 2**20), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def test_answers_that_nobody_reads() -> None:
    settings = WebSettings(host="127.0.0.1", port=free_port(), body_timeout=0.3, header_timeout=0.2)

    async def main() -> float:
        app = LargeAnswers(settings)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **server_options(settings)))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        with socket.create_connection((settings.host, settings.port)) as connection:
            connection.sendall(request_head([], method="GET"))
            began = time.monotonic()
            await until(lambda: app.door.unread)
            await until(lambda: not server.server_state.connections)
            took = time.monotonic() - began
        server.should_exit = True
        await serving
        return took

    assert asyncio.run(main()) >= 0.3
