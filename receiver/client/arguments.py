"""Check what a caller passes, before anything is sent; and spell priorities as the wire does. Pure."""

from __future__ import annotations

from typing import Any

from receiver.client import fields
from receiver.errors import ValidationFailed
from receiver.events import PRIORITIES


def check_text(value: Any, name: str) -> str:
    """Return ``value`` if it is a string with something in it. Raises `ValidationFailed` with ``name``."""
    if not isinstance(value, str) or not value:
        raise ValidationFailed(f"{name} must be a string, and not empty")
    return value


def check_priority(value: Any) -> str:
    """``value`` as on the wire, `"high"` → `"High"`. Raises `ValidationFailed` for what is no priority."""
    if not isinstance(value, str) or value.lower() not in PRIORITIES:
        raise ValidationFailed(f"priority must be one of {', '.join(PRIORITIES)}")
    return value.capitalize()


def read_priority(raw: fields.Fields) -> str:
    """The priority of an answer as in an `Event`, `"High"` → `"high"`. Raises `MalformedAnswer`."""
    return (fields.optional_text(raw, "priority") or "normal").lower()
