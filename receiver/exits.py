"""How a command ends that does not succeed: an error, a hint how to mend it, and an exit code for scripts."""

from __future__ import annotations

from typing import Final

import click

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
UNREACHABLE: Final = 5


class Failure(click.ClickException):
    """What ends a command: printed as two lines, ``error`` and ``hint``."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance, which is typed otherwise

    def show(self, _file: object = None) -> None:
        """Print to standard error; called by click."""
        click.secho(f"✗ {self.format_message()}", fg="red", err=True, color=self.show_color)
        click.secho(f"  hint: {self.hint}", dim=True, err=True, color=self.show_color)
