"""Options of the sandbox's commands that are more than a word or a number: durations and faults."""

from __future__ import annotations

import click

from receiver.sandbox.clock import duration
from receiver.sandbox.faults import Fault, spelled


def seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Callback of an option such as ``2s`` or ``500ms``: its seconds."""
    try:
        return duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def faults(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[Fault]:
    """Callback of an option that can be repeated, such as ``dropx2`` and ``delay:3s@10%``."""
    try:
        return [spelled(each) for each in values]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
