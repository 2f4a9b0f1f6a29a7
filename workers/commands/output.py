"""Print results: tables that fit the terminal, or JSON. What comes from outside cannot steer the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# For a pipe or a file, where there is no terminal to fit.
_WIDE: Final = 200
# Between two columns; and what a column is shortened to before another one is left out.
_GAP: Final = 2
_SHORTENED: Final = 10
_COLOURS: Final = {
    "failed": "red", "dead": "red", "Failed": "red", "retrying": "yellow", "Pending": "yellow", "pending": "yellow",
    "handled": "green", "done": "green", "Delivered": "green", "running": "cyan", "busy": "cyan",
}  # fmt: skip
_AGES: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))


def console() -> Console:
    """Standard output; without colours when piped or under NO_COLOR."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = ()) -> None:
    """A table that fits the terminal. Its first column is always whole, so that it can be copied; where there is no
    room, ``spare`` columns are left out one after another, and the widest of the others are shortened.
    """
    terminal = console()
    cells = [[cell(value) for value in row] for row in rows]
    widths = {name: max([len(name), *(row[place].cell_len for row in cells)]) for place, name in enumerate(columns)}
    shown = _fitting(widths, spare, terminal.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in shown.items():
        table.add_column(name.upper(), no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*(one for name, one in zip(columns, row, strict=True) if name in shown))
    terminal.print(table)


def _fitting(widths: Mapping[str, int], spare: Sequence[str], room: int) -> dict[str, int]:
    """The columns that are shown, and how wide."""
    shown = dict(widths)
    first, *others = widths
    for name in spare:
        least = widths[first] + sum(_GAP + min(widths[one], _SHORTENED) for one in others if one in shown)
        if least <= room:
            break
        del shown[name]
    while sum(shown.values()) + _GAP * (len(shown) - 1) > room:
        widest = max((name for name in shown if name != first), key=shown.__getitem__, default=first)
        if shown[widest] <= 1:
            break
        shown[widest] -= 1
    return shown


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line; what is empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, ""):
            table.add_row(name, cell(value))
    console().print(table)


def cell(value: object) -> Text:
    """A value as it may stand in a terminal."""
    if isinstance(value, datetime):
        value = value.isoformat(" ", "milliseconds").replace("+00:00", " UTC")
    text = "" if value is None else str(value)
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return Text(shown, style=_COLOURS.get(shown, ""))


def ago(moment: datetime | None) -> str:
    """``3m ago``, ``in 20s``, or empty."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def counted(number: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def age(seconds: float) -> str:
    """``45s``, ``3m``, ``2h``, ``5d``."""
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return "0s"


def size(number: float) -> str:
    """``512 B``, ``1.5 kB``, ``25.0 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return ""


@contextmanager
def progress(what: str, total: int) -> Iterator[Any]:
    """A bar on standard error while the block runs; nothing where that is no terminal. Gives what moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    on_terminal = Console(stderr=True)
    with Progress(*columns, console=on_terminal, disable=not on_terminal.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
