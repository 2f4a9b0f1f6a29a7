"""What a worker gets when it claims an event, and what it says when it closes one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event this worker has claimed, as the script `advance` hands it over.

    ``replay``: JSON of its replay, or empty. ``accepted_at``: RQ's text of the time.
    ``traceparent``: the step of its trace to go on from, or empty. ``copy_of``: the event that brought the same answer
    before, or empty.
    """

    job_id: str
    execution_id: str
    body: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    progress: str
    claims: int
    replay: str
    accepted_at: str
    traceparent: str = ""
    copy_of: str = ""

    @property
    def key(self) -> str:
        """The claim's name in RQ's registries."""
        return f"{self.job_id}:{self.execution_id}"

    def latency(self, now: float) -> float | None:
        """Milliseconds from its POST to ``now`` (ms since the epoch, by Redis); None for a replay or no time."""
        try:
            accepted_at = datetime.fromisoformat(self.accepted_at)
        except ValueError:
            return None
        if self.replay or accepted_at.tzinfo is None:
            return None
        return max(0.0, now - accepted_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Closing:
    """How a claim ends, for the script `advance`; ``verb`` and the rest as documented there. ``due`` in seconds."""

    job_id: str
    execution_id: str
    verb: str
    due: float = 0.0
    progress: str = ""
    reason: str = ""
    error: str = ""

    @property
    def key(self) -> str:
        """The claim's name in RQ's registries."""
        return f"{self.job_id}:{self.execution_id}"

    @property
    def ends_claim(self) -> bool:
        """Whether the claim is over after it."""
        return self.verb != "unlane"
