"""Read the append-only file in which the tests' handlers note what they did."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what happened to which event."""

    what: str
    event: str
    session: str
    attempt: int
    pid: int
    at: float


def entries(folder: Path) -> list[Entry]:
    """All that has been noted so far, in order."""
    path = folder / "ledger"
    return [Entry(**json.loads(line)) for line in path.read_bytes().splitlines()] if path.exists() else []


def events(folder: Path, what: str) -> list[str]:
    """The events to which ``what`` has happened (`start`, `done`), in order, each as often as it happened."""
    return [entry.event for entry in entries(folder) if entry.what == what]
