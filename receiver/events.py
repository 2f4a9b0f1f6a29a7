"""Parse the bytes of a webhook into an Event. Pure.

What the platform has signed is not refused for being strange, since its real shape may differ from profile v1:
names of fields are looked up in one table, unknown fields are kept, and only bytes that are no strict JSON object
(RFC 8259, with the restrictions of RFC 7493) or an id outside its alphabet are an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from receiver.errors import InvalidEvent

MAX_DEPTH: Final = 64
PRIORITIES: Final = ("critical", "high", "normal", "low")
UNKNOWN_TYPE: Final = "unknown"
RESPONSE_TYPE: Final = "response.created"

# Where profile v1 and its likely relatives keep what we read; the first that is present wins.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "eventId", "event_id"),
    "type": ("type", "eventType", "event_type", "event"),
    "created_at": ("createdAt", "created_at"),
    "session_id": ("sessionId", "session_id"),
    "agent_id": ("agentId", "agent_id"),
    "agent_name": ("agentName", "agent_name"),
    "space_id": ("spaceId", "space_id"),
    "priority": ("priority",),
    "delivery_id": ("deliveryId", "delivery_id"),
}
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, as the platform tells it: metadata in plaintext, content still sealed in ``payload``.

    ``created_at`` is None where the platform gave no readable time. ``priority`` is one of `PRIORITIES`.
    ``payload`` is the whole JSON object.
    """

    id: str
    type: str
    created_at: datetime | None
    session_id: str
    agent_id: str
    agent_name: str
    space_id: str
    priority: str
    delivery_id: str
    payload: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.type!r} session={self.session_id!r}>"

    @classmethod
    def from_bytes(cls, body: bytes) -> Event:
        """Parse the body of a webhook.

        Raises `InvalidEvent` for anything but a strict JSON object with an acceptable id, and nothing else.
        """
        payload = parse_object(body)
        return cls(
            id=_event_id(payload, body),
            type=_text(payload, "type") or UNKNOWN_TYPE,
            created_at=_time(_text(payload, "created_at")),
            # Never shortened: what is sealed is bound to the whole of it.
            session_id=_text(payload, "session_id", length=None),
            agent_id=_text(payload, "agent_id"),
            agent_name=_text(payload, "agent_name"),
            space_id=_text(payload, "space_id"),
            priority=_priority(_text(payload, "priority")),
            delivery_id=_text(payload, "delivery_id"),
            payload=payload,
        )


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse strict JSON: UTF-8 without a byte order mark, an object at the top, no NaN or infinite number, no
    doubled key, no lone surrogate, at most `MAX_DEPTH` levels deep. Raises `InvalidEvent`.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except InvalidEvent:
        raise
    except RecursionError:
        raise InvalidEvent(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        # The parser's own message may quote the body.
        raise InvalidEvent("the body is not valid JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidEvent("the body is not a JSON object")
    # Counting brackets is cheap and never too low; only a body with many of them is measured exactly.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise InvalidEvent(f"the body is nested deeper than {MAX_DEPTH} levels")
    if (b"\\u" in body) and not _is_unicode(value):
        raise InvalidEvent("the body holds a lone surrogate, which is no Unicode character")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidEvent("the body has an object with a doubled key")
    return made


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidEvent("the body holds NaN or Infinity, which JSON does not know")


def _finite_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise InvalidEvent("the body holds a number that is too large")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite_float
)


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _is_unicode(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _event_id(payload: Mapping[str, Any], body: bytes) -> str:
    for name in _FIELDS["id"]:
        given = payload.get(name)
        if given is None:
            continue
        if not isinstance(given, str) or not _ID.fullmatch(given):
            raise InvalidEvent(f'"{name}" must be a string of 1 to 128 characters out of A-Z a-z 0-9 _ . : -')
        return given
    return "sha256_" + hashlib.sha256(body).hexdigest()


def _text(payload: Mapping[str, Any], field: str, length: int | None = 256) -> str:
    for name in _FIELDS[field]:
        given = payload.get(name)
        if isinstance(given, str):
            return given[:length]
    return ""


def _priority(text: str) -> str:
    lowered = text.lower()
    return lowered if lowered in PRIORITIES else "normal"


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
