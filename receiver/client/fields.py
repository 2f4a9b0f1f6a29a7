"""Read typed values out of the API's answers. Pure.

Whatever an answer holds, reading it gives a value of the type asked for or `MalformedAnswer`, and nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from receiver.errors import MalformedAnswer

Fields = Mapping[str, Any]


def text(fields: Fields, name: str) -> str:
    """The string under ``name``. Raises `MalformedAnswer`."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedAnswer(f"the answer's {name} is missing or not a string")
    return value


def optional_text(fields: Fields, name: str) -> str | None:
    """The string under ``name``, None where it is null or missing. Raises `MalformedAnswer`."""
    return None if fields.get(name) is None else text(fields, name)


def flag(fields: Fields, name: str) -> bool:
    """The truth value under ``name``, False where it is null or missing. Raises `MalformedAnswer`."""
    value = fields.get(name, False)
    if value is not None and not isinstance(value, bool):
        raise MalformedAnswer(f"the answer's {name} is neither true nor false")
    return bool(value)


def whole(fields: Fields, name: str) -> int:
    """The whole number under ``name``. Raises `MalformedAnswer`."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedAnswer(f"the answer's {name} is missing or not a whole number")
    return value


def optional_whole(fields: Fields, name: str) -> int | None:
    """The whole number under ``name``, None where it is null or missing. Raises `MalformedAnswer`."""
    return None if fields.get(name) is None else whole(fields, name)


def optional_number(fields: Fields, name: str) -> float | None:
    """The number under ``name``, None where it is null or missing. Raises `MalformedAnswer`."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedAnswer(f"the answer's {name} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise MalformedAnswer(f"the answer's {name} is too large") from None


def time(fields: Fields, name: str) -> datetime:
    """The time under ``name`` (RFC 3339), in UTC. Raises `MalformedAnswer`."""
    try:
        value = datetime.fromisoformat(text(fields, name))
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedAnswer(f"the answer's {name} is not a time") from None


def optional_time(fields: Fields, name: str) -> datetime | None:
    """The time under ``name``, None where it is null or missing. Raises `MalformedAnswer`."""
    return None if fields.get(name) is None else time(fields, name)


def child(fields: Fields, name: str) -> Fields:
    """The object under ``name``. Raises `MalformedAnswer`."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise MalformedAnswer(f"the answer's {name} is missing or not an object")
    return value


def children(fields: Fields, name: str) -> tuple[Fields, ...]:
    """The list of objects under ``name``. Raises `MalformedAnswer`."""
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedAnswer(f"the answer's {name} is missing or not a list of objects")
    return tuple(value)
