"""Handlers of alerts: an async one, a plain one, and one that always fails. Events are handled as elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Final

import tests.support.handlers  # noqa: F401  # registers handlers of events
from tests.support.processes import CANARY
from workers import Alert, on_alert

NOTES: Final = Path(os.environ["LEDGER"]).parent / "alerts"


def note(name: str, alert: Alert) -> None:
    """Append one line."""
    with NOTES.open("a") as file:
        file.write(json.dumps([name, alert.kind, alert.resolved]) + "\n")


@on_alert
async def tell(alert: Alert) -> None:
    """An async one."""
    await asyncio.sleep(0)
    note("async", alert)


@on_alert
def write(alert: Alert) -> None:
    """A plain one."""
    note("plain", alert)


@on_alert
def fail(alert: Alert) -> None:
    """One that fails."""
    note("fails", alert)
    raise RuntimeError(CANARY)
