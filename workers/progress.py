"""How far each handler of one event is: kept in its job between tries, so that none that succeeded runs again. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Self

_STATES: Final = ("pending", "done", "dead")
KEPT_ATTEMPTS: Final = 10
_LATEST: Final = 253402300800.0  # the year 10000; later times, and those that are none, would stop the worker

Attempt = tuple[int, float, str]


@dataclass(slots=True)
class HandlerProgress:
    """``tries`` so far, when the next one is ``due`` (seconds since the epoch), and how it ended, if it has.

    ``ms`` is how long the last try took; ``reason`` why it failed (`handler_error`, `timeout`), or `retry_later`,
    `discarded`. ``attempts``: the latest ten, oldest first: when (ms since the epoch), how long (ms), outcome.
    """

    tries: int = 0
    due: float = 0.0
    state: str = "pending"
    ms: float = 0.0
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()

    @classmethod
    def checked(cls, tries: Any, due: Any, state: Any, ms: Any = 0.0, reason: Any = "", attempts: Any = ()) -> Self:
        """Made of what stands in Redis. Raises `ValueError`, `TypeError` or `OverflowError` for what cannot be."""
        known = tuple((int(at), float(took), str(outcome)) for at, took, outcome in attempts)[-KEPT_ATTEMPTS:]
        made = cls(int(tries), float(due), state, float(ms), reason, known)
        if made.tries < 0 or not 0 <= made.due <= _LATEST or state not in _STATES:
            raise ValueError("no progress of a handler")
        if not 0 <= made.ms <= _LATEST * 1000 or not isinstance(reason, str):
            raise ValueError("no progress of a handler")
        if not all(0 <= at <= _LATEST * 1000 and 0 <= took <= _LATEST * 1000 for at, took, _ in known):
            raise ValueError("no attempts of a handler")
        return made

    def ended(self, state: str, reason: str, started: float, ms: float) -> None:
        """Note how a try has ended that ``started`` at (seconds since the epoch) and took ``ms``."""
        self.state, self.reason, self.ms = state, reason, ms
        attempt = (int(started * 1000), round(ms, 1), reason or state)
        self.attempts = (*self.attempts, attempt)[-KEPT_ATTEMPTS:]

    def as_list(self) -> list[Any]:
        """As its JSON: [tries, due, state, ms, reason, attempts], the last only if there are some."""
        parts = [self.tries, self.due, self.state, round(self.ms, 1), self.reason]
        return [*parts, self.attempts] if self.attempts else parts


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
        """As JSON: handler name → its `as_list`. Names only; nothing of the event."""
        return json.dumps({name: one.as_list() for name, one in self.handlers.items()}, separators=(",", ":"))

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
