"""The handlers behind a recording: those of `handlers`, and a second one that fails the first time it is asked to."""

from __future__ import annotations

from tests.support.handlers import note
from workers import OpenedEvent, on_response


@on_response()
async def follow(event: OpenedEvent) -> None:
    """Runs beside `act`, which has its own progress."""
    if event.response["do"] == "follow":
        note("follow", event)
        if event.attempt == 1:
            raise RuntimeError("the first try fails")
