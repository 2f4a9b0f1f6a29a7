"""Faults on demand: what goes wrong with deliveries to a webhook, so that users can try their own receiver."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any, Final

from receiver.sandbox.problems import Problem, invalid

KINDS: Final = {
    "delay": "wait `seconds` before sending",
    "drop": "lose the request on the way: the attempt fails without reaching the endpoint",
    "duplicate": "send the same request twice at once",
    "reorder": "let the next event of the session overtake this one",
    "wrong-signature": "sign with another secret",
    "silence": "send half of the request, be silent for 10 s and hang up",
}
_DELAY: Final = 5.0  # seconds
_SPELLED: Final = re.compile(
    r"(?P<kind>[a-z-]+)(:(?P<seconds>[0-9.]+)s)?(x(?P<times>[0-9]+))?(@(?P<percent>[0-9.]+)%)?"
)


@dataclass(slots=True)
class Fault:
    """What goes wrong: one of `KINDS`, in the next ``times`` attempts it meets (None: all) with ``probability``."""

    kind: str
    times: int | None = None
    probability: float = 1.0
    seconds: float = _DELAY

    def as_json(self) -> dict[str, Any]:
        """The fault as the admin API shows it; ``times`` are those that are left."""
        shown: dict[str, Any] = {"kind": self.kind, "times": self.times, "probability": self.probability}
        return {**shown, "seconds": self.seconds} if self.kind == "delay" else shown


class Faults:
    """The faults of all webhooks. They are not part of the state file: a restart heals everything."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._faults: dict[str, list[Fault]] = {}

    def set(self, webhook_id: str, faults: list[Fault]) -> None:
        """Replace the faults of a webhook; none heals it."""
        self._faults[webhook_id] = faults

    def of(self, webhook_id: str) -> list[Fault]:
        """The faults of a webhook that are not used up."""
        return [fault for fault in self._faults.get(webhook_id, ()) if fault.times != 0]

    def take(self, webhook_id: str, kind: str) -> Fault | None:
        """The fault of this ``kind`` that strikes now, if one does; counts it."""
        for fault in self.of(webhook_id):
            if fault.kind == kind and self._rng.random() < fault.probability:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def from_json(value: Any) -> list[Fault]:
    """Read ``[{"kind", "times"?, "probability"?, "seconds"?}, …]``. Raises `Problem` (422)."""
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(each, dict) for each in value):
        raise _wrong("must be a list of objects")
    return [_checked(**{name: each[name] for name in Fault.__slots__ if name in each}) for each in value]


def spelled(text: str) -> Fault:
    """Read a fault as the command line spells it: ``drop``, ``dropx3``, ``delay:2.5s``, ``duplicate@10%``.

    Raises `ValueError` with how it is spelled.
    """
    match = _SPELLED.fullmatch(text)
    if match is not None:
        try:
            return _checked(
                match["kind"],
                times=int(match["times"]) if match["times"] else None,
                probability=float(match["percent"] or 100) / 100,
                seconds=float(match["seconds"] or _DELAY),
            )
        except (ValueError, Problem):
            pass  # said below, in the words of the command line
    raise ValueError(f"a fault is one of {', '.join(KINDS)}; with :2s seconds of delay, x3 times, @10% probability")


def _checked(kind: Any = None, times: Any = None, probability: Any = 1.0, seconds: Any = _DELAY) -> Fault:
    if not isinstance(kind, str) or kind not in KINDS:
        raise _wrong(f"kind must be one of {', '.join(KINDS)}")
    if times is not None and (type(times) is not int or times < 1):
        raise _wrong("times must be a whole number above 0, or absent")
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise _wrong("probability must be a number from 0 to 1")
    if not isinstance(seconds, int | float) or not 0 <= seconds <= 86400:
        raise _wrong("seconds must be a number from 0 to 86400")
    return Fault(kind, times, float(probability), float(seconds))


def _wrong(problem: str) -> Problem:
    return invalid([{"field": "faults", "problem": problem}])
