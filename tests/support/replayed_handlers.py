"""A handler that fails as long as the file `broken` is there, and notes what it does in the tests' ledger."""

from __future__ import annotations

from tests.support.handlers import LEDGER, note
from workers import OpenedEvent, on


@on("replay.test", retries=0)
async def act(event: OpenedEvent) -> None:
    """Fail while it is broken, then be done."""
    if (LEDGER.parent / "broken").exists():
        raise RuntimeError("broken")
    note("done" if event.replay is None else f"done again: {event.replay.reason}", event)
