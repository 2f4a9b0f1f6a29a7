"""Append-only ledgers of what was sent, acknowledged, started and done, and the verdict over them.

One `write` a line to a file opened with O_APPEND: a line is there whole or not at all, even if its writer is killed.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("sent", "acked", "started", "effect", "done")


class Ledger:
    """The ledgers in one folder, one file a kind; a line is ``session number event-id``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {kind: os.open(folder / kind, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for kind in KINDS}

    def write(self, kind: str, session: str, number: int, event_id: str) -> None:
        """Append one line."""
        os.write(self._files[kind], f"{session} {number} {event_id}\n".encode())

    def read(self, kind: str) -> list[tuple[str, int, str]]:
        """All lines of one kind, in the order in which they were written."""
        lines = (self._folder / kind).read_text().splitlines()
        return [(session, int(number), event_id) for session, number, event_id in (line.split() for line in lines)]


@dataclass
class Verdict:
    """What the ledgers say. ``inversions``: effects that came before one of an earlier event of their session."""

    sent: int
    acked: int
    done: int
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    inversions: list[str] = field(default_factory=list)
    duplicates: int = 0

    def __str__(self) -> str:
        return (
            f"sent={self.sent} acked={self.acked} done={self.done} lost={len(self.lost)} "
            f"unexpected={len(self.unexpected)} inversions={len(self.inversions)} duplicates={self.duplicates}"
        )


def judge(ledger: Ledger, given_up: set[str]) -> Verdict:
    """Compare the ledgers. ``given_up``: events that ended as dead letters, as they should."""
    sent = {event_id for _, _, event_id in ledger.read("sent")}
    acked = {event_id for _, _, event_id in ledger.read("acked")}
    done = {event_id for _, _, event_id in ledger.read("done")}
    effects = ledger.read("effect")
    verdict = Verdict(len(sent), len(acked), len(done))
    verdict.lost = sorted(acked - done - given_up)
    verdict.unexpected = sorted(done - sent)
    verdict.duplicates = sum(Counter(event_id for _, _, event_id in effects).values()) - len(
        {event_id for _, _, event_id in effects}
    )
    seen: set[str] = set()
    newest: dict[str, int] = {}
    for session, number, event_id in effects:
        if event_id in seen:
            continue  # a duplicate after a kill, counted above
        seen.add(event_id)
        if number < newest.get(session, -1):
            verdict.inversions.append(event_id)
        newest[session] = max(number, newest.get(session, -1))
    return verdict
