"""How long and how much is kept of events that nobody works on any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Keeping:
    """What stays in Redis after an event is handled, or has become a dead letter.

    ``dead``, ``handled``: seconds; 0 for ``handled`` keeps nothing. ``dead_max``, ``handled_max``: how many of each,
    ``dead_bytes``: how many bytes of bodies dead letters may take; the oldest go first. ``bodies``: whether a handled
    event keeps its sealed body, so that it can be replayed.
    """

    dead: int = 30 * _DAY
    dead_max: int = 100_000
    dead_bytes: int = 100 * 1024 * 1024
    handled: int = 7 * _DAY
    handled_max: int = 100_000
    bodies: bool = False

    def lua_constants(self) -> str:
        """These numbers as lines of a script."""
        numbers = {
            "KEEP_DEAD": self.dead,
            "KEEP_DEAD_MAX": self.dead_max,
            "KEEP_DEAD_BYTES": self.dead_bytes,
            "KEEP_HANDLED": self.handled,
            "KEEP_HANDLED_MAX": self.handled_max,
        }
        lines = [f"local {name} = {number}" for name, number in numbers.items()]
        return "\n".join([*lines, f"local KEEP_BODIES = {'true' if self.bodies else 'false'}"])
