"""How durable an event is before it is acknowledged: `HILOOP_DURABILITY`.

What Redis has carried out is in its memory. Whether it is on disk or on a replica too, the same connection can ask
(WAITAOF, WAIT): the answer covers all that was written before, by whomever.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

_CONFIRM_SECONDS: Final = 3.0


class Durability(Enum):
    """Where an event is when its sender is told that it was accepted."""

    MEMORY = "memory"
    DISK = "disk"
    REPLICA = "replica"

    @property
    def patience(self) -> float:
        """Seconds within which Redis must confirm; 0 if it is not asked.

        An append-only file is synced every second at the latest, and Redis puts that off by a second when the disk is
        busy. Together with a batch before it, it stays below the 10 s that the platform waits.
        """
        return 0.0 if self is Durability.MEMORY else _CONFIRM_SECONDS

    @property
    def question(self) -> tuple[str | int, ...]:
        """The command that waits until all earlier writes are confirmed, or ``patience`` is over."""
        milliseconds = int(self.patience * 1000)
        return ("WAITAOF", 1, 0, milliseconds) if self is Durability.DISK else ("WAIT", 1, milliseconds)

    def is_confirmed(self, answer: Any) -> bool:
        """Whether the answer of `question` says so: ``[local, replicas]`` of WAITAOF, replicas of WAIT."""
        return bool((answer[0] if self is Durability.DISK else answer) >= 1)
