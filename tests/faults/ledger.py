"""Append-only ledgers of what was sent, acknowledged, started and done, and the verdict over them.

One `write` a line to a file opened with O_APPEND: a line is there whole or not at all, even if its writer is killed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("sent", "acked", "started", "effect", "done")


class Ledger:
    """The ledgers in one folder, one file a kind; a line is ``session number event-id writer's-pid``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {kind: os.open(folder / kind, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for kind in KINDS}

    def write(self, kind: str, session: str, number: int, event_id: str) -> None:
        """Append one line."""
        os.write(self._files[kind], f"{session} {number} {event_id} {os.getpid()}\n".encode())

    def read(self, kind: str) -> list[tuple[str, int, str, int]]:
        """All lines of one kind, in the order in which they were written."""
        lines = (self._folder / kind).read_text().splitlines()
        return [(session, int(number), event, int(pid)) for session, number, event, pid in map(str.split, lines)]


@dataclass
class Verdict:
    """What the ledgers say.

    ``inversions``: effects that came before one of an earlier event of their session. ``duplicates``: effects beyond
    the first of their event; ``unexplained`` are those of events whose earlier effect was not of a killed worker.
    """

    sent: int
    acked: int
    done: int
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    inversions: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    duplicates: int = 0

    def __str__(self) -> str:
        return (
            f"sent={self.sent} acked={self.acked} done={self.done} lost={len(self.lost)} "
            f"unexpected={len(self.unexpected)} inversions={len(self.inversions)} duplicates={self.duplicates} "
            f"unexplained={len(self.unexplained)}"
        )


def judge(ledger: Ledger, given_up: set[str], killed: set[int]) -> Verdict:
    """Compare the ledgers. ``given_up``: events that ended as dead letters, as they should; ``killed``: processes."""
    sent, acked, done = ({event for _, _, event, _ in ledger.read(kind)} for kind in ("sent", "acked", "done"))
    verdict = Verdict(len(sent), len(acked), len(done))
    verdict.lost = sorted(acked - done - given_up)
    verdict.unexpected = sorted(done - sent)
    worker_of: dict[str, int] = {}
    newest: dict[str, int] = {}
    for session, number, event, pid in ledger.read("effect"):
        if event in worker_of:
            verdict.duplicates += 1
            if worker_of[event] not in killed:
                verdict.unexplained.append(event)
        elif number < newest.get(session, -1):
            verdict.inversions.append(event)
        worker_of[event] = pid
        newest[session] = max(number, newest.get(session, -1))
    return verdict
