"""Ask the webhook endpoint without a socket: headers and bodies that no HTTP parser would let through as well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from receiver.counts import Counts
from receiver.ingest import WebhookEndpoint
from receiver.refusals import Refusals
from receiver.settings import WebSettings
from receiver.testing import MemoryInbox

_loop = asyncio.new_event_loop()


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request came to."""

    status: int
    body: Any
    inbox: MemoryInbox


def ask(
    headers: Sequence[tuple[bytes, bytes]],
    parts: Sequence[bytes],
    *,
    token: bytes,
    secret: bytes,
    disconnects: bool = False,
    **settings: Any,
) -> Asked | None:
    """Send one request whose body comes in ``parts``; None if the sender went away before its end."""
    return _loop.run_until_complete(
        _ask(headers, parts, disconnects, WebSettings(webhook_tokens=(token,), webhook_secrets=(secret,), **settings))
    )


async def _ask(
    headers: Sequence[tuple[bytes, bytes]], parts: Sequence[bytes], disconnects: bool, settings: WebSettings
) -> Asked | None:
    inbox = MemoryInbox()
    counts = Counts(inbox.count)
    endpoint = WebhookEndpoint(settings, inbox, Refusals(counts, proxies=0, limit=1000, seconds=0))
    messages: list[Any] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if disconnects else {"type": "http.request", "more_body": False})
    answers: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "headers": list(headers), "client": ("192.0.2.1", 1)}
    await endpoint(scope, receive, send)
    await counts.close()
    if not answers:
        return None
    start, body = answers
    lengths = [value for name, value in start["headers"] if name == b"content-length"]
    assert lengths == [b"%d" % len(body["body"])]
    return Asked(start["status"], json.loads(body["body"]), inbox)
