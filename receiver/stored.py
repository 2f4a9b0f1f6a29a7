"""One event as Redis keeps it, and which events a filter wants. Pure; never plaintext.

What stands in Redis is not to be trusted: whatever is unreadable is left out, and nothing is raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from receiver.layout import event_id

# Status of an event for people → status of its job for RQ.
STATUSES: Final = {
    "waiting": ("queued", "deferred"),
    "running": ("started",),
    "retrying": ("scheduled",),
    "failed": ("failed",),
    "handled": ("finished",),
}
# The fields of a job that are read, in this order.
FIELDS: Final = (
    "status", "event", "description", "lane", "created_at", "started_at", "ended_at", "progress", "claims", "crashes",
    "duplicates", "reason", "error", "replay", "worker_name", "deliveries",
)  # fmt: skip
_KEPT: Final = 10  # attempts and redeliveries that are shown
_BY_RQ: Final = {theirs: ours for ours, many in STATUSES.items() for theirs in many}


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One run of a handler: when it started, how long it took, how it ended (`receiver.attempts.OUTCOMES`)."""

    started_at: datetime
    ms: float
    outcome: str

    def as_json(self) -> dict[str, Any]:
        """As the command line's JSON shows it."""
        return {"started_at": _iso(self.started_at), "ms": self.ms, "outcome": self.outcome}


@dataclass(frozen=True, slots=True)
class Redelivery:
    """A delivery in which the event came again, and when."""

    id: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """As the command line's JSON shows it."""
        return {"id": self.id, "at": _iso(self.at)}


@dataclass(frozen=True, slots=True)
class HandlerState:
    """How far one handler is: ``tries`` so far; ``state`` pending, done or dead; when the next try is ``due``; how long
    the last one took (``ms``); the ``reason`` of its failure (`handler_error`, `timeout`), or `discarded`,
    `retry_later`; its latest ten ``attempts``, the oldest first.
    """

    name: str
    tries: int
    state: str
    due: datetime | None
    ms: float
    reason: str
    attempts: tuple[PastAttempt, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As the command line's JSON shows it."""
        shown: dict[str, Any] = {"handler": self.name, "state": self.state, "tries": self.tries, "ms": self.ms}
        shown |= _present(reason=self.reason, next_try=_iso(self.due if self.state == "pending" else None))
        return {**shown, "attempts": [one.as_json() for one in self.attempts]}


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Metadata of an event, and what became of it.

    ``status`` is one of `STATUSES`. ``reason`` and ``error`` tell why it is a dead letter. ``duplicates`` is how often
    it came again, ``redeliveries`` the latest ten of these, the oldest first. ``replayable``: whether its sealed body
    is still there. Times are in UTC.
    """

    id: str
    job_id: str
    status: str
    type: str
    agent: str
    session: str
    priority: str
    delivery: str
    bytes: int
    created_at: datetime | None
    accepted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    handlers: tuple[HandlerState, ...]
    claims: int
    crashes: int
    duplicates: int
    reason: str
    error: str
    replay_id: str
    replay_reason: str
    worker: str
    replayable: bool
    redeliveries: tuple[Redelivery, ...] = ()

    @property
    def next_try(self) -> datetime | None:
        """When a handler is tried again, for an event that waits for that."""
        times = [one.due for one in self.handlers if one.state == "pending" and one.due is not None]
        return min(times, default=None) if self.status == "retrying" else None

    def as_json(self) -> dict[str, Any]:
        """As the command line's JSON shows it: stable names, nothing that is empty."""
        shown = _present(
            id=self.id,
            status=self.status,
            type=self.type,
            agent=self.agent,
            session=self.session,
            priority=self.priority,
            delivery=self.delivery,
            bytes=self.bytes,
            created_at=_iso(self.created_at),
            accepted_at=_iso(self.accepted_at),
            started_at=_iso(self.started_at),
            ended_at=_iso(self.ended_at),
            next_try=_iso(self.next_try),
            reason=self.reason,
            error=self.error,
            claims=self.claims,
            crashes=self.crashes,
            duplicates=self.duplicates,
            replay_id=self.replay_id,
            replay_reason=self.replay_reason,
            worker=self.worker,
        )
        return {
            **shown,
            "redeliveries": [one.as_json() for one in self.redeliveries],
            "handlers": [one.as_json() for one in self.handlers],
            "replayable": self.replayable,
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events: all that is not None must hold. ``type``, ``agent`` and ``handler`` are patterns with ``*``;
    ``since`` and ``until`` are about the time of acceptance (UTC). A handler's event is one that it has run for.
    """

    status: str = "failed"
    type: str | None = None
    agent: str | None = None
    session: str | None = None
    handler: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, event: StoredEvent) -> bool:
        """Whether ``event`` is wanted."""
        return (
            event.status == self.status
            and _fits(event.type, self.type)
            and _fits(event.agent, self.agent)
            and (self.session is None or event.session == self.session)
            and (self.handler is None or any(self._wants(one) for one in event.handlers))
            and (self.reason is None or event.reason == self.reason)
            and (self.since is None or (event.accepted_at is not None and event.accepted_at >= self.since))
            and (self.until is None or (event.accepted_at is not None and event.accepted_at <= self.until))
        )

    def _wants(self, one: HandlerState) -> bool:
        # Of a dead letter those handlers are meant that failed: the others have nothing to do with it.
        return _fits(one.name, self.handler) and (self.status != "failed" or one.state == "dead")


def read_event(job: str, fields: list[bytes | None], body_bytes: int) -> StoredEvent | None:
    """The event in a job's `FIELDS`; None if there is no such job, or it is none of ours."""
    text = {name: (raw or b"").decode("utf-8", "replace") for name, raw in zip(FIELDS, fields, strict=True)}
    status = _BY_RQ.get(text["status"])
    if status is None:
        return None
    known = _object(text["event"])
    replay = _object(text["replay"])
    return StoredEvent(
        id=event_id(job),
        job_id=job,
        status=status,
        type=_text(known, "type") or text["description"],
        agent=_text(known, "agent"),
        session=_text(known, "session") or text["lane"],
        priority=_text(known, "priority") or "normal",
        delivery=_text(known, "delivery"),
        bytes=body_bytes or _whole(known.get("bytes")),
        created_at=_time(_text(known, "created_at")),
        accepted_at=_time(text["created_at"]),
        started_at=_time(text["started_at"]),
        ended_at=_time(text["ended_at"]),
        handlers=_handlers(_object(text["progress"])),
        claims=_whole(text["claims"]),
        crashes=_whole(text["crashes"]),
        duplicates=_whole(text["duplicates"]),
        reason=text["reason"],
        error=text["error"],
        replay_id=_text(replay, "id"),
        replay_reason=_text(replay, "reason"),
        worker=text["worker_name"] if status == "running" else "",
        replayable=body_bytes > 0,
        redeliveries=_redeliveries(text["deliveries"]),
    )


def _handlers(progress: dict[str, Any]) -> tuple[HandlerState, ...]:
    found = []
    for name, parts in progress.items():
        if not isinstance(parts, list) or len(parts) < 3:
            continue
        tries, due, state, ms, reason, past = [*parts, *(0, "", ())[len(parts) - 3 :]][:6]
        attempts = _attempts(past)
        found.append(HandlerState(name, _whole(tries), str(state), _moment(due), _number(ms), str(reason), attempts))
    return tuple(found)


def _attempts(value: Any) -> tuple[PastAttempt, ...]:
    return tuple(
        PastAttempt(started, _number(ms), str(outcome))
        for at, ms, outcome in _latest(value, 3)
        if (started := _moment_ms(at))
    )


def _redeliveries(text: str) -> tuple[Redelivery, ...]:
    return tuple(Redelivery(str(id_), at) for id_, ms in _latest(_json(text), 2) if (at := _moment_ms(ms)))


def _latest(value: Any, parts: int) -> list[list[Any]]:
    lists = value[-_KEPT:] if isinstance(value, list) else []
    return [one for one in lists if isinstance(one, list) and len(one) == parts]


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any]:
    value = _json(text)
    return value if isinstance(value, dict) else {}


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _whole(value: Any) -> int:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0
    return value if isinstance(value, int) else 0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else 0.0


def _moment(value: Any) -> datetime | None:
    seconds = _number(value)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 2e11 else None


def _moment_ms(value: Any) -> datetime | None:
    return _moment(_number(value) / 1000)


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fits(value: str, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(value, pattern)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", 0)}
