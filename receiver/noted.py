"""What workers note in Redis for the dashboard: handlers and what they match, the platform's deliveries. Pure.

Workers write it as JSON; readers trust nothing of it: what is unreadable is left out, and nothing is raised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

MAX_DELIVERIES: Final = 200
MAX_AGENTS: Final = 20
# A handler that no worker has named for so long is none any more (seconds).
CATALOG_SECONDS: Final = 900.0
_LONGEST: Final = 300
_FILTERS: Final = ("action", "agent", "session", "priority")


@dataclass(frozen=True, slots=True)
class HandlerNote:
    """What a handler matches and how it runs. ``at``: when a worker last named it (Unix seconds)."""

    name: str
    type: str
    matches: Mapping[str, str]
    fallback: bool
    ordered: bool
    is_async: bool
    retries: int
    timeout: float
    at: float

    def to_json(self) -> str:
        """As Redis keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, name: str, text: str) -> Self:
        """Read what `to_json` wrote."""
        raw = _object(text)
        matches = raw.get("matches")
        return cls(
            name=name,
            type=_text(raw, "type") or "*",
            matches={one: _text(matches, one) for one in _FILTERS if one in matches}
            if isinstance(matches, dict)
            else {},
            fallback=raw.get("fallback") is True,
            ordered=raw.get("ordered") is not False,
            is_async=raw.get("is_async") is True,
            retries=int(_number(raw, "retries")),
            timeout=_number(raw, "timeout"),
            at=_number(raw, "at"),
        )


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """A delivery of the platform's as it was when the platform was asked. Times are in UTC."""

    id: str
    event: str
    type: str
    session: str
    status: str
    attempts: int
    code: int
    error: str
    created_at: datetime | None
    next_retry_at: datetime | None

    def to_plain(self) -> dict[str, Any]:
        """As it stands in an agent's note."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""
        return cls(
            **{name: _text(raw, name) for name in ("id", "event", "type", "session", "status", "error")},
            attempts=int(_number(raw, "attempts")),
            code=int(_number(raw, "code")),
            created_at=_time(_text(raw, "created_at")),
            next_retry_at=_time(_text(raw, "next_retry_at")),
        )


@dataclass(frozen=True, slots=True)
class PlatformNote:
    """What the platform told of one agent's deliveries at a time (Unix seconds): its statistics and its latest
    deliveries, the latest first. ``success_rate`` is from 0 to 1.
    """

    at: float
    total: int
    pending: int
    delivered: int
    failed: int
    success_rate: float | None
    average_ms: float | None
    deliveries: tuple[DeliveryNote, ...]

    def to_json(self) -> str:
        """As Redis keeps it."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "deliveries"}
        return json.dumps({**plain, "deliveries": [one.to_plain() for one in self.deliveries[:MAX_DELIVERIES]]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        raw = _object(text)
        listed = raw.get("deliveries")
        found = listed[:MAX_DELIVERIES] if isinstance(listed, list) else []
        return cls(
            at=_number(raw, "at"),
            **{name: int(_number(raw, name)) for name in ("total", "pending", "delivered", "failed")},
            success_rate=None if raw.get("success_rate") is None else min(1.0, _number(raw, "success_rate")),
            average_ms=None if raw.get("average_ms") is None else _number(raw, "average_ms"),
            deliveries=tuple(DeliveryNote.from_plain(one) for one in found if isinstance(one, dict)),
        )


def _object(text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _number(raw: Mapping[str, Any], name: str) -> float:
    value = raw.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0.0


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
