"""What a job says about its replay: read from Redis, which is not to be trusted. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workers.opened import Replay


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """A replay, and the names of the handlers it is limited to; none means all."""

    replay: Replay
    handlers: frozenset[str]

    def covers(self, handler: str) -> bool:
        """Whether the handler of this name shall run."""
        return not self.handlers or handler in self.handlers


def read_replay(text: str, accepted_at: str) -> ReplayOrder | None:
    """The replay in a job's field, None if it is unreadable. ``accepted_at``: RQ's text of the time."""
    try:
        stored: Any = json.loads(text)
        names = stored.get("handlers") or ()
        replay = Replay(str(stored["id"]), _time(accepted_at), str(stored.get("reason", "")))
        return ReplayOrder(replay, frozenset(str(name) for name in names))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
