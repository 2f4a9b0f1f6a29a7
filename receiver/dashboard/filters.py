"""Which events a page shows: a filter in the address, as `events list` has it on the command line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from receiver.settings import duration
from receiver.stored import STATUSES, Filter

NAMES: Final = tuple(one.name for one in fields(Filter))
_TIMES: Final = ("since", "until")
_LONGEST: Final = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter as it stands in an address. ``texts`` are the parameters as they were written, by name; ``problems``
    say by name what cannot be understood, which is then left out of ``wanted``.
    """

    wanted: Filter
    texts: Mapping[str, str]
    problems: Mapping[str, str]

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the status is asked for."""
        return self.wanted != Filter(self.wanted.status)

    def query(self, **changes: str | None) -> str:
        """The query of an address with this filter; ``changes`` replaces parameters, or takes them away (None)."""
        return urlencode({name: value for name, value in {**self.texts, **changes}.items() if value})


def asked(parameters: Mapping[str, str], now: datetime) -> Asked:
    """Read the filter in the parameters of an address."""
    texts = {name: parameters[name].strip()[:_LONGEST] for name in NAMES if parameters.get(name, "").strip()}
    texts.setdefault("status", "failed")
    values: dict[str, Any] = dict(texts)
    problems = {}
    if texts["status"] not in STATUSES:
        problems["status"] = "must be one of " + ", ".join(STATUSES)
        values["status"] = texts["status"] = "failed"
    for name in _TIMES:
        if name in texts:
            try:
                values[name] = moment(texts[name], now)
            except (ValueError, OverflowError):
                problems[name] = "write it like 2h (ago) or 2026-11-22T13:30Z"
                del values[name]
    return Asked(Filter(**values), texts, problems)


def settled(one: Asked) -> Asked:
    """The same with its times spelled out, so that “2h” means the same a minute later."""
    times = {name: when.isoformat() for name in _TIMES if (when := getattr(one.wanted, name)) is not None}
    return replace(one, texts={**one.texts, **times})


def moment(text: str, now: datetime) -> datetime:
    """A time like ``2h`` (ago) or ``2026-11-22T13:30Z``, UTC if it names no zone. Raises `ValueError`."""
    try:
        return now - timedelta(seconds=duration(text))
    except (ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
