"""How a log line looks: `time level what key=value …` for people, or JSON. Pure.

Whatever comes from outside stands inside its value: it cannot begin a line or a field of its own, steer a terminal, or
turn the direction of what is read (bidirectional controls).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from receiver.places import describe

# Renders (Unix time, level, what happened, fields).
Render = Callable[[float, str, str, Mapping[str, Any]], str]

# A line of some ten fields stays below what a pipe takes in one piece.
_LONGEST_VALUE: Final = 500
_LONGEST_WHAT: Final = 1500
_NAMES_TAKEN: Final = frozenset({"time", "level", "message"})
_needs_quotes: Final = re.compile(r'[\s"=\\]').search
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_text(at: float, level: str, what: str, fields: Mapping[str, Any]) -> str:
    """A line for people; what is empty is left out."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6]
    parts = [f"{time}Z {level:<7} {printable(what, _LONGEST_WHAT)}"]
    for name, value in fields.items():
        if value is None or value == "":
            continue
        if type(value) is float:
            shown = f"{value:.2f}"
        else:
            shown = printable(_plain(value))
            if _needs_quotes(shown):
                shown = '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
        parts.append(f"{_name(name)}={shown}")
    return " ".join(parts)


def as_json(at: float, level: str, what: str, fields: Mapping[str, Any]) -> str:
    """The same as one JSON object a line; control characters are spelled out in its values, too."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")[:-6]
    shown: dict[str, Any] = {"time": f"{time}Z", "level": level, "message": printable(what, _LONGEST_WHAT)}
    for name, value in fields.items():
        if value is None or value == "":
            continue
        if type(value) is float:
            value = round(value, 3)  # shown instead
        elif type(value) is not int and type(value) is not bool:
            value = printable(_plain(value))  # the same
        shown[_name(name)] = value
    return _encode(shown)


FORMATS: Final[Mapping[str, Render]] = {"text": as_text, "json": as_json}


def printable(text: str, longest: int = _LONGEST_VALUE) -> str:
    """``text`` on one line: what is not printable is spelled out (``\\n``, ``\\x1b``, ``\\u202e``), its end cut off."""
    if len(text) > longest:
        text = text[:longest] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _plain(value: Any) -> str:
    return describe(value) if isinstance(value, BaseException) else str(value)


def _name(name: str) -> str:
    if name in _NAMES_TAKEN:
        return f"{name}_"
    return name if name.isidentifier() else re.sub(r"\W", "_", name)
