"""Charts as numbers that a template draws: bars and lines in a box of fixed size, with a table beside. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 600.0
HEIGHT: Final = 120.0
_GAP: Final = 0.18  # of a bar's place


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; ``kind`` is the name of what it counts, and its class."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Place:
    """All bars of one time, and what is said of it. ``x`` and ``width``: where it stands."""

    bars: tuple[Bar, ...]
    label: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on top of each other, and lines. ``top`` is the value at its upper edge; ``lines`` are paths of SVG by
    kind; ``rows`` is the same as a table, under ``columns``; ``totals`` the sum of each kind.
    """

    places: tuple[Place, ...]
    lines: Mapping[str, str]
    top: float
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: Mapping[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(any(cell not in ("0", "–") for cell in row[1:]) for row in self.rows)


def stacked(times: Sequence[str], stacks: Mapping[str, Sequence[int]], lines: Mapping[str, Sequence[int]]) -> Chart:
    """Bars of ``stacks`` on top of each other for each of ``times``, with ``lines`` over them."""
    sums = [sum(values) for values in zip(*stacks.values(), strict=True)]
    top = nice(max([*sums, *(value for values in lines.values() for value in values), 1]))
    step = WIDTH / max(1, len(times))
    everything = {**stacks, **lines}
    rows = [(time, *(f"{values[i]}" for values in everything.values())) for i, time in enumerate(times)]
    places = []
    for i, row in enumerate(rows):
        bars, base = [], HEIGHT
        for kind, values in stacks.items():
            height = values[i] / top * HEIGHT
            base -= height
            if values[i]:
                bars.append(Bar(kind, *_rounded(i * step + step * _GAP / 2, base, step * (1 - _GAP), height)))
        told = ", ".join(f"{cell} {kind}" for kind, cell in zip(everything, row[1:], strict=True))
        places.append(Place(tuple(bars), f"{row[0]}: {told}", *_rounded(i * step, step)))
    # The last time is not over yet: its line would fall to the ground.
    drawn = {kind: _steps(values[:-1], top, step) for kind, values in lines.items()}
    totals = {kind: sum(values) for kind, values in everything.items()}
    return Chart(tuple(places), drawn, top, ("time", *everything), tuple(reversed(rows)), totals)


def curves(times: Sequence[str], values: Mapping[str, Sequence[float | None]], unit: str) -> Chart:
    """Lines through those of ``values`` that are known."""
    top = nice(max([1.0, *(value for series in values.values() for value in series if value is not None)]))
    step = WIDTH / max(1, len(times))
    drawn = {kind: _curve(series, top, step) for kind, series in values.items()}
    rows = [
        (time, *("–" if series[i] is None else f"{series[i]:g}" for series in values.values()))
        for i, time in enumerate(times)
    ]
    places = []
    for i, row in enumerate(rows):
        told = ", ".join(f"{kind} {cell} {unit}" for kind, cell in zip(values, row[1:], strict=True) if cell != "–")
        places.append(Place((), f"{row[0]}: {told or 'nothing'}", *_rounded(i * step, step)))
    columns = ("time", *(f"{kind} ({unit})" for kind in values))
    return Chart(tuple(places), drawn, top, columns, tuple(reversed(rows)), {})


def nice(value: float) -> float:
    """The next number from ``value`` on that reads well: 1, 2, 3, 5 or 8 and zeros."""
    size = 1.0
    while value > size * 10:
        size *= 10
    return next(size * one for one in (1, 2, 3, 5, 8, 10) if value <= size * one)


def _steps(values: Sequence[int], top: float, step: float) -> str:
    path: list[str] = []
    for i, value in enumerate(values):
        x, y, right = _rounded(i * step, HEIGHT - value / top * HEIGHT, (i + 1) * step)
        path.append(f"{'L' if path else 'M'}{x} {y}H{right}")
    return "".join(path)


def _curve(values: Sequence[float | None], top: float, step: float) -> str:
    path: list[str] = []
    pen_is_down = False
    for i, value in enumerate(values):
        if value is None:
            pen_is_down = False
            continue
        x, y = _rounded((i + 0.5) * step, HEIGHT - value / top * HEIGHT)
        # A point without neighbours is a short line of its own.
        path.append(f"{'L' if pen_is_down else 'M'}{x} {y}h0.1")
        pen_is_down = True
    return "".join(path)


def _rounded(*values: float) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in values)
