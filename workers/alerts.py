"""Alerts: what an operator is told, and the decorator for handlers that take them.

from workers import on_alert

@on_alert
async def page(alert): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from receiver.lines import printable

AlertHandler = Callable[["Alert"], Any]
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that needs a person, or that no longer does.

    ``kind``: dead_letters, urgent_dead_letters, waiting or stalled. ``resolved``: whether all is well again.
    ``severity``: warning or critical. ``title`` says it in one line, ``facts`` in more; ``events`` are ids of events
    to look at first, ``commands`` what to type. ``since``: when it began (UTC). Nothing in it is secret or plaintext.
    """

    kind: str
    resolved: bool
    severity: str
    queue: str
    title: str
    since: datetime
    facts: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it for a chat: Slack's way to write, in which ``& < >`` are escaped."""
        sign = "✅" if self.resolved else "🔴" if self.severity == "critical" else "🟠"
        lines = [f"{sign} {self.title} (queue {self.queue})", *self.facts]
        if self.events:
            lines.append(f"first: {', '.join(self.events)}")
        lines += [f"`{command}`" for command in self.commands]
        shown = "\n".join(printable(line) for line in lines)
        return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def as_json(self) -> dict[str, Any]:
        """The body that ``HILOOP_ALERT_URL`` gets."""
        return {
            "text": self.text,
            "alert": {
                "kind": self.kind,
                "state": "resolved" if self.resolved else "firing",
                "severity": self.severity,
                "queue": self.queue,
                "title": self.title,
                "since": self.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "facts": list(self.facts),
                "events": list(self.events),
                "commands": list(self.commands),
            },
        }


class AlertHandlers:
    """The functions that take alerts, by name."""

    def __init__(self) -> None:
        self.functions: dict[str, AlertHandler] = {}

    def on_alert(self, function: _Decorated) -> _Decorated:
        """Have ``function(alert)`` called with every `Alert`; async or plain. Raises `TypeError` for anything else."""
        if not callable(function):
            raise TypeError("write the decorator without parentheses: @on_alert")
        self.functions[f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"] = function
        return function


alert_handlers = AlertHandlers()
"""The functions behind `workers.on_alert`."""

on_alert = alert_handlers.on_alert
