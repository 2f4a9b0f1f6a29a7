"""What `hiloop-receiver doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``level`` is ok, warning or problem; ``mend`` says what to do about it."""

    level: str
    what: str
    mend: str = ""
