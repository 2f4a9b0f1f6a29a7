"""How far each handler of one event is: kept in its job between tries, so that none that succeeded runs again. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Self

_STATES: Final = ("pending", "done", "dead")
_LATEST: Final = 253402300800.0  # the year 10000; later times, and those that are none, would stop the worker


@dataclass(slots=True)
class HandlerProgress:
    """``tries`` so far, when the next one is ``due`` (seconds since the epoch), and how it ended, if it has.

    ``ms`` is how long the last try took; ``reason`` why it failed (`handler_error`, `timeout`), or `discarded`.
    """

    tries: int = 0
    due: float = 0.0
    state: str = "pending"
    ms: float = 0.0
    reason: str = ""

    @classmethod
    def checked(cls, tries: Any, due: Any, state: Any, ms: Any = 0.0, reason: Any = "") -> Self:
        """Made of what stands in Redis. Raises `ValueError`, `TypeError` or `OverflowError` for what cannot be."""
        made = cls(int(tries), float(due), state, float(ms), reason)
        if made.tries < 0 or not 0 <= made.due <= _LATEST or state not in _STATES:
            raise ValueError("no progress of a handler")
        if not 0 <= made.ms <= _LATEST * 1000 or not isinstance(reason, str):
            raise ValueError("no progress of a handler")
        return made


@dataclass(slots=True)
class Progress:
    """Progress by handler name. States: ``pending``, ``done``, ``dead``."""

    handlers: dict[str, HandlerProgress] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; anything else counts as no progress, since Redis is not to be trusted."""
        try:
            stored: Any = json.loads(text)
            return cls({name: HandlerProgress.checked(*parts) for name, parts in stored.items()})
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return cls()

    def to_json(self) -> str:
        """As JSON: handler name → [tries, due, state, ms, reason]. Names only; nothing of the event."""
        return json.dumps(
            {
                name: [one.tries, one.due, one.state, round(one.ms, 1), one.reason]
                for name, one in self.handlers.items()
            },
            separators=(",", ":"),
        )

    def of(self, name: str) -> HandlerProgress:
        """The progress of one handler, made if there is none yet."""
        return self.handlers.setdefault(name, HandlerProgress())

    @property
    def next_due(self) -> float | None:
        """When the next pending handler is due, or None if none is pending."""
        return min((one.due for one in self.handlers.values() if one.state == "pending"), default=None)

    @property
    def failed(self) -> bool:
        """Whether a handler has used up its tries."""
        return any(one.state == "dead" for one in self.handlers.values())
