"""Server-sent events: what the feed tells, as a stream over HTTP (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from receiver.sandbox.feed import Feed, Notice
from receiver.sandbox.web import seconds

_KEEP_ALIVE: Final = 15.0  # seconds between comments that keep an idle stream open
_LONGEST: Final = 86400.0  # seconds


def stream(request: Request, feed: Feed, wanted: Callable[[Notice], bool]) -> Response:
    """All ``wanted`` notices from here on, for as many seconds as the query's ``timeout`` says."""
    longest = seconds(request, "timeout", default=_LONGEST, high=_LONGEST)
    return StreamingResponse(_lines(feed, wanted, longest), media_type="text/event-stream")


async def _lines(feed: Feed, wanted: Callable[[Notice], bool], longest: float) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    end = loop.time() + longest
    with feed.subscribed() as notices:
        yield "retry: 1000\n: connected\n\n"
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, _KEEP_ALIVE)):
                    notice = await notices.get()
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if notice is None:
                return
            if wanted(notice):
                yield f"data: {json.dumps(notice, separators=(',', ':'))}\n\n"
