"""When something is worth an alert, and when it is well again. Pure.

Each receiver of alerts has its own `Told`: one that could not be reached is told later, with what is true then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from receiver.alerting import Alerting
from receiver.ledger import Status
from receiver.stored import StoredEvent
from workers.alerts import Alert

DEAD: Final = "dead_letters"
URGENT_DEAD: Final = "urgent_dead_letters"
WAITING: Final = "waiting"
STALLED: Final = "stalled"

# Reasons that are told at once, whatever was told lately: somebody may be trying to decide who must not.
URGENT_REASONS: Final = frozenset({"untrusted_sender", "unverifiable"})
# What mends an event of a reason, before it is replayed.
_MEND: Final = {
    "unknown_key": "hiloop-receiver keys",
    "no_handler": "hiloop-receiver handlers",
    "unverifiable": "hiloop-receiver doctor",
}
_FIRST: Final = 5
_END_OF_TIME: Final = 1e11


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at the queue has found. ``died``: the latest dead letters, the latest first. ``idle``: seconds since
    anything was last handled, in which events have waited all the time.
    """

    queue: str
    status: Status
    died: tuple[StoredEvent, ...]
    idle: float

    @property
    def dead_by_reason(self) -> dict[str, int]:
        """Dead letters ever counted."""
        counters = self.status.counters
        return {name[5:]: number for name, number in counters.items() if name.startswith("dead:")}


@dataclass(frozen=True, slots=True)
class Told:
    """What one receiver knows: by kind when it was last told, and since when it is open (Unix seconds); and the dead
    letters that were counted then, by reason.
    """

    at: dict[str, float]
    open: dict[str, float]
    counted: dict[str, int]

    @classmethod
    def from_json(cls, text: str) -> Told:
        """Read it; nothing was told if this is none."""
        try:
            value: Any = json.loads(text or "{}")
            at, opened, counted = (dict(value.get(name, {})) for name in ("at", "open", "counted"))
            return cls(
                {str(kind): _time(time) for kind, time in at.items()},
                {str(kind): _time(time) for kind, time in opened.items()},
                {str(reason): int(number) for reason, number in counted.items()},
            )
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return cls({}, {}, {})

    def to_json(self) -> str:
        """For Redis."""
        return json.dumps({"at": self.at, "open": self.open, "counted": self.counted}, separators=(",", ":"))

    def after(self, alert: Alert, health: Health, now: float) -> Told:
        """What is known once ``alert`` has been taken."""
        if alert.resolved:
            return replace(self, open={kind: since for kind, since in self.open.items() if kind != alert.kind})
        counted = self.counted
        if alert.kind in (DEAD, URGENT_DEAD):
            urgent = alert.kind == URGENT_DEAD
            news = {one: n for one, n in health.dead_by_reason.items() if (one in URGENT_REASONS) == urgent}
            counted = {**counted, **news}
        since = {alert.kind: alert.since.timestamp()}
        return Told({**self.at, alert.kind: now}, {**self.open, **since}, counted)


def due_alerts(health: Health, told: Told, limits: Alerting, now: float) -> Iterator[Alert]:
    """What a receiver is to be told now, the most urgent first."""
    checks = (
        (_dead(health, told, URGENT_DEAD), health.status.dead == 0, "no dead letters are left"),
        (_dead(health, told, DEAD), health.status.dead == 0, "no dead letters are left"),
        (_stalled(health, limits), True, "events are handled again"),
        (_waiting(health, limits), True, "no event waits for long any more"),
    )
    for kind, (alert, is_well, well) in zip((URGENT_DEAD, DEAD, STALLED, WAITING), checks, strict=True):
        since = datetime.fromtimestamp(told.open.get(kind, now), UTC)
        if alert is not None and now - told.at.get(kind, 0.0) >= limits.every:
            yield replace(alert, since=since)
        elif alert is None and is_well and kind in told.open:
            yield Alert(kind, True, "info", health.queue, well, since)


def _dead(health: Health, told: Told, kind: str) -> Alert | None:
    urgent = kind == URGENT_DEAD
    by_reason = {
        # A counter that is lower than it was belongs to a Redis that has been emptied.
        reason: number - told.counted.get(reason, 0) if number >= told.counted.get(reason, 0) else number
        for reason, number in health.dead_by_reason.items()
        if (reason in URGENT_REASONS) == urgent
    }
    new = min(sum(by_reason.values()), health.status.dead)
    if new == 0:
        return None
    died = [event for event in health.died if (event.reason in URGENT_REASONS) == urgent][:new]
    handlers = Counter(one.name for event in died for one in event.handlers if one.state == "dead")
    first = tuple(event.id for event in reversed(died))[:_FIRST]
    reasons = [reason for reason, number in Counter(by_reason).most_common() if number > 0]
    facts = [f"why: {', '.join(f'{reason} ({by_reason[reason]})' for reason in reasons)}"]
    if handlers:
        facts.append(f"in: {', '.join(f'{name} ({number})' for name, number in handlers.most_common(_FIRST))}")
    commands = [f"hiloop-receiver events show {first[0]}"] if first else []
    for reason in reasons[:_FIRST]:
        commands += [_MEND[reason]] if reason in _MEND else []
        commands.append(f"hiloop-receiver events replay --reason {reason}")
    return Alert(
        kind,
        False,
        "critical" if urgent else "warning",
        health.queue,
        f"{new} new dead letter{'s' if new > 1 else ''}, {health.status.dead} in all",
        datetime.fromtimestamp(0, UTC),
        tuple(facts),
        first,
        tuple(commands),
    )


def _waiting(health: Health, limits: Alerting) -> Alert | None:
    oldest = health.status.oldest_waiting
    if not limits.waiting or oldest is None or oldest < limits.waiting:
        return None
    return _about_queue(health, WAITING, "warning", f"the oldest waiting event has waited for {_minutes(oldest)}")


def _stalled(health: Health, limits: Alerting) -> Alert | None:
    if not limits.stalled or health.idle < limits.stalled:
        return None
    title = f"nothing has been handled for {_minutes(health.idle)}, although events wait"
    return _about_queue(health, STALLED, "critical", title)


def _about_queue(health: Health, kind: str, severity: str, title: str) -> Alert:
    status = health.status
    capacity = sum(worker.concurrency for worker in status.workers)
    at_work = f"in flight {status.in_flight} of {capacity}, workers {len(status.workers)}"
    facts = [f"waiting {status.waiting}, retrying {status.retrying}, {at_work}"]
    commands = ["hiloop-receiver status", "hiloop-receiver events list --status running"]
    if status.suspended:
        facts.append("the workers are suspended")
        commands.insert(0, "rq resume")
    return Alert(
        kind, False, severity, health.queue, title, datetime.fromtimestamp(0, UTC), tuple(facts), (), tuple(commands)
    )


def _time(value: Any) -> float:
    if not 0 <= value < _END_OF_TIME:
        raise ValueError("is no time")
    return float(value)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
