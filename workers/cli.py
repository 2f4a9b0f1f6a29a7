"""The command line; the only file that knows every command. Each imports what it needs when it runs."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

import click

from receiver import __version__
from receiver.errors import ConfigurationError, LocalServerError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


class _Commands(click.Group):
    """Turns our errors into one message and an exit code."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ConfigurationError as error:
            click.echo(f"Error: {error}", err=True)
            click.echo("Hint: settings are environment variables; the README lists them all.", err=True)
            sys.exit(EXIT_USAGE)
        except LocalServerError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_FAILED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hiloop-receiver")
def main() -> None:
    """Receive Hiloop's webhooks and act on what humans decide."""


def _log_to_stdout(level: int = logging.INFO) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout, force=True
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)


@main.command()
def web() -> None:
    """Run the web process: verify webhooks and put them into the queue."""
    from receiver.settings import WebSettings
    from receiver.web import run_web

    settings = WebSettings.from_environment(os.environ)
    _log_to_stdout()
    run_web(settings)


@main.command()
def worker() -> None:
    """Run a worker process: open answers and run your handlers."""
    from receiver.settings import WorkerSettings
    from workers.run import run_worker

    settings = WorkerSettings.from_environment(os.environ)
    _log_to_stdout()
    run_worker(settings)


@main.command()
@click.option("--once", is_flag=True, help="End after one answer was handled; the exit code tells whether it was.")
def demo(*, once: bool) -> None:
    """Show the whole loop on this machine: Redis, web, worker, and a human who approves."""
    from workers.demo import run_demo

    sys.exit(run_demo(once=once))


if __name__ == "__main__":
    main()
