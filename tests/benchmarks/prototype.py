"""The bare prototype that latency is compared with: verify and push; pop, verify, open and call."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import redis.asyncio
import uvicorn
import uvloop

from receiver.settings import WebSettings
from receiver.signature import verify_bearer, verify_signature
from receiver.web import server_options
from tests.benchmarks.jobs import KEYRING, handle
from workers.job import open_job

SETTINGS = WebSettings.from_environment(os.environ)


class Push:
    """An ASGI application with group commit: verify, LPUSH what has gathered, answer 202."""

    def __init__(self) -> None:
        self.redis = redis.asyncio.Redis.from_url(SETTINGS.redis_url)
        self.waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self.task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        body = (await receive()).get("body", b"")
        headers = dict(scope["headers"])
        signature = headers.get(b"x-hiloop-signature", b"")
        status = 401
        token = verify_bearer(SETTINGS.webhook_tokens, headers.get(b"authorization", b""))
        if token is not None and verify_signature(SETTINGS.webhook_secrets, body, signature) is not None:
            done = asyncio.get_running_loop().create_future()
            self.waiting.append((signature + b" " + body, done))
            if self.task is None:
                self.task = asyncio.create_task(self.commit())
            await done
            status = 202
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def commit(self) -> None:
        """Push until nothing waits."""
        while self.waiting:
            batch, self.waiting = self.waiting, []
            await self.redis.lpush("prototype", *(item for item, _ in batch))
            for _, done in batch:
                done.set_result(None)
        self.task = None


async def work() -> None:
    """Pop and call, for ever."""
    client = redis.asyncio.Redis.from_url(SETTINGS.redis_url, socket_timeout=None)
    while True:
        popped = await client.brpop(["prototype"], timeout=0)
        signature, _, body = popped[1].partition(b" ")
        await handle(open_job(body, signature, secrets=SETTINGS.webhook_secrets, keyring=KEYRING))


if __name__ == "__main__":
    if sys.argv[1] == "web":
        uvicorn.run(Push(), lifespan="off", **{**server_options(SETTINGS), "http": "httptools"})
    else:
        uvloop.run(work())
