"""Type and place of an error: all that logs and Redis may tell of it, since its text may quote what a human wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

_LONGEST_TRAIL: Final = 8


def describe(error: BaseException) -> str:
    """Type and place of an error: ``KeyError at handlers.py:12 in deploy``."""
    place = ""
    for file, line, function in _frames(error.__traceback__):
        if "site-packages" not in file or not place:
            place = f"{Path(file).name}:{line} in {function}"
    return f"{type(error).__name__} at {place}" if place else type(error).__name__


def trail(error: BaseException) -> str:
    """The way to the place, the innermost last: ``app.py:40 in main > handlers.py:12 in deploy``."""
    steps = [f"{Path(file).name}:{line} in {function}" for file, line, function in _frames(error.__traceback__)]
    return " > ".join(steps[-_LONGEST_TRAIL:])


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield code.co_filename, traceback.tb_lineno, code.co_name
        traceback = traceback.tb_next
