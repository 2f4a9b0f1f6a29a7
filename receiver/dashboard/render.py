"""Templates and how they show times, numbers and addresses. What comes from outside is escaped, whatever it is."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from receiver.dashboard.charts import HEIGHT, WIDTH

ROOT: Final = "/dashboard"
_AGES: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))
STATIC: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def read_static() -> dict[str, bytes]:
    """The static files by name."""
    folder = files("receiver.dashboard") / "static"
    return {name: (folder / name).read_bytes() for name in STATIC}


class Templates:
    """Renders the pages; ``static`` are the files that they link to."""

    def __init__(self, static: dict[str, bytes]) -> None:
        self._versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in static.items()}
        env = Environment(
            loader=PackageLoader("receiver.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        env.globals.update(url=url, static=self._static, chart_width=WIDTH, chart_height=HEIGHT)
        filters = (ago, at, size, number, ms, percent, plain, word)
        env.filters.update({one.__name__: one for one in filters}, seconds=age)
        self._env = env

    def render(self, name: str, **values: Any) -> str:
        """The page or part of a page of this name."""
        return self._env.get_template(name).render(**values)

    def _static(self, name: str) -> str:
        return f"{ROOT}/static/{name}?v={self._versions[name]}"


def url(path: str, **query: Any) -> str:
    """An address of the dashboard: ``url("event", id=…)``."""
    told = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{ROOT}/{path}" + (f"?{told}" if told else "")


def ago(moment: datetime | float | None) -> Markup | str:
    """``3m ago`` or ``in 20s``, with the exact time when one points at it."""
    if not moment:
        return "–"
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    away = (datetime.now(UTC) - moment).total_seconds()
    shown = "just now" if 0 <= away < 1 else f"{age(away)} ago" if away >= 0 else f"in {age(-away)}"
    return _time(moment, shown)


def at(moment: datetime | float | None) -> Markup | str:
    """The time of the day in UTC with milliseconds; with the date when one points at it."""
    if not moment:
        return "–"
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return _time(moment, f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}")


def _time(moment: datetime, shown: str) -> Markup:
    exact = moment.isoformat(" ", "milliseconds").replace("+00:00", " UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(  # what is put in is escaped
        moment.isoformat(timespec="milliseconds"), exact, shown
    )


def age(seconds: float | None) -> str:
    """``45s``, ``3m``, ``2h``, ``5d``."""
    if seconds is None:
        return "–"
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return "0s"


def size(count: float) -> str:
    """``512 B``, ``1.5 kB``, ``25.0 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def number(value: float) -> str:
    """``12,345``; ``1.2`` where there is something behind the point."""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.1f}"


def ms(value: float | None) -> str:
    """``12 ms``, ``3.4 s``, or a dash."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "> 5 min"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def percent(share: float | None) -> str:
    """``99.2 %``, or a dash."""
    return "–" if share is None else f"{share * 100:.4g} %"


def plain(value: str) -> str:
    """A text from outside without what steers: no control characters, no turning of the direction of reading."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)


def word(value: str) -> Markup:
    """A name from outside that may be long: it breaks after points and dashes rather than anywhere."""
    text = str(escape(plain(value)))
    for mark in (".", "_", "-"):
        text = text.replace(mark, f"{mark}<wbr>")
    return Markup(text)  # noqa: S704  # escaped in the line above, before the only markup is put in
