"""The handlers of the dashboard's tests: one that fails as long as the file `broken` is there, and some that do not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from tests.support.processes import CANARY
from workers import OpenedEvent, fallback, on, on_response

FOLDER: Final = Path(os.environ["LEDGER"]).parent


@on("invoice.*", retries=0)
async def charge(_event: OpenedEvent) -> None:
    """Fails while it is broken; what it says must show nowhere."""
    if (FOLDER / "broken").exists():
        raise RuntimeError(CANARY)


@on("gate.*")
async def wait(_event: OpenedEvent) -> None:
    """Runs until the file `gate` is there."""
    while not (FOLDER / "gate").exists():  # noqa: ASYNC110  # another process opens it
        await asyncio.sleep(0.01)


@on_response(action="approve", agent="deploy-*", timeout=20)
async def deploy(_event: OpenedEvent) -> None:
    """Does what the human said."""


@fallback()
def note(_event: OpenedEvent) -> None:
    """Whatever else happens."""
