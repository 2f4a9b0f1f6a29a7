"""What workers raise an alert about, and how often. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alerting:
    """Where alerts go, and what they are about. Times are in seconds.

    ``url``: takes them as JSON; a secret, since such addresses hold a token. ``waiting``: age of the oldest waiting
    event, ``stalled``: time in which nothing was handled although events wait, from which on that is an alert; 0 for
    never. ``every``: for so long there is no second alert of a kind. ``check``: how often the queue is looked at.
    """

    url: str = field(repr=False, default="")
    waiting: float = 300.0
    stalled: float = 300.0
    every: float = 1800.0
    check: float = 10.0
