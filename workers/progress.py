"""How far each handler of one event is: kept in its job between tries, so that none that succeeded runs again. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class HandlerProgress:
    """``tries`` so far, when the next one is ``due`` (seconds since the epoch), and how it ended, if it has."""

    tries: int = 0
    due: float = 0.0
    state: str = "pending"


@dataclass(slots=True)
class Progress:
    """Progress by handler name. States: ``pending``, ``done``, ``dead``."""

    handlers: dict[str, HandlerProgress] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; anything else counts as no progress, since Redis is not to be trusted."""
        try:
            stored: Any = json.loads(text)
            return cls(
                {
                    str(name): HandlerProgress(int(tries), float(due), str(state))
                    for name, (tries, due, state) in stored.items()
                }
            )
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def to_json(self) -> str:
        """As JSON: handler name → [tries, due, state]. Names only; nothing of the event."""
        return json.dumps({name: [one.tries, one.due, one.state] for name, one in self.handlers.items()})

    def of(self, name: str) -> HandlerProgress:
        """The progress of one handler, made if there is none yet."""
        return self.handlers.setdefault(name, HandlerProgress())

    def start_over(self) -> None:
        """Forget failures, as a replay does: handlers that are done stay done."""
        self.handlers = {name: one for name, one in self.handlers.items() if one.state == "done"}

    @property
    def next_due(self) -> float | None:
        """When the next pending handler is due, or None if none is pending."""
        return min((one.due for one in self.handlers.values() if one.state == "pending"), default=None)

    @property
    def failed(self) -> bool:
        """Whether a handler has used up its tries."""
        return any(one.state == "dead" for one in self.handlers.values())
