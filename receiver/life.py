"""The life line of one stored event: what happened to it, in order of time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from receiver.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: ``what`` (happened, accepted, came again, claimed, attempt, handled, failed) and the
    ``detail`` that belongs to it, such as a delivery, or handler, outcome and duration.
    """

    at: datetime
    what: str
    detail: str


def life_line(event: StoredEvent) -> list[Moment]:
    """All that is kept of its life. Of claims only the last, of attempts and redeliveries the latest ten each."""
    return sorted(_moments(event), key=lambda moment: moment.at)


def _moments(event: StoredEvent) -> Iterator[Moment]:
    if event.created_at:
        yield Moment(event.created_at, "happened", "by the platform's clock")
    if event.accepted_at:
        yield Moment(event.accepted_at, "accepted", event.delivery)
    for one in event.redeliveries:
        yield Moment(one.at, "came again", one.id)
    if event.started_at:
        yield Moment(event.started_at, "claimed", f"claim {event.claims}" if event.claims > 1 else "")
    for handler in event.handlers:
        first = handler.tries - len(handler.attempts) + 1
        for number, attempt in enumerate(handler.attempts, max(first, 1)):
            outcome = f"{attempt.outcome} after {attempt.ms:g} ms"
            yield Moment(attempt.started_at, f"attempt {number}", f"{handler.name}: {outcome}")
    if event.ended_at and event.status in ("failed", "handled"):
        yield Moment(event.ended_at, event.status, event.reason)
