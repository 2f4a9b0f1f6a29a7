"""The handler under fault tests: writes the ledger, and kills its process where the event says so."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from tests.faults.ledger import Ledger
from workers import OpenedEvent, on

ledger = Ledger(Path(os.environ["FAULT_LEDGER"]))


def _kill_at(event: OpenedEvent, point: str) -> None:
    """Die, once for every event that asks for it; a poison event dies every time."""
    wanted = event.data.get("kill")
    marker = Path(os.environ["FAULT_LEDGER"]) / f"killed-{event.id}"
    if wanted == "poison" and point == "run.started":
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == point and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _write(kind: str, event: OpenedEvent) -> None:
    ledger.write(kind, event.session_id, event.data["number"], event.id)


@on("fault.async", retries=8)
async def run_async(event: OpenedEvent) -> None:
    """An async handler with one effect."""
    _write("started", event)
    _kill_at(event, "run.started")
    await asyncio.sleep(random.random() * 0.01)
    if event.attempt <= event.data["failures"]:
        raise RuntimeError("as the event wants it")
    _write("effect", event)
    _kill_at(event, "run.effect")
    _write("done", event)


@on("fault.plain", retries=8)
def run_plain(event: OpenedEvent) -> None:
    """A plain handler with one effect."""
    _write("started", event)
    _kill_at(event, "run.started")
    time.sleep(random.random() * 0.01)
    if event.attempt <= event.data["failures"]:
        raise RuntimeError("as the event wants it")
    _write("effect", event)
    _kill_at(event, "run.effect")
    _write("done", event)
