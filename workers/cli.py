"""The command line; the only file that knows every command. Each imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from receiver import __version__
from receiver.errors import ConfigurationError, ReceiverError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

# Commands that live elsewhere: name → module and attribute.
_ELSEWHERE: Final = {
    "sandbox": ("receiver.sandbox.cli", "sandbox"),
    "trigger": ("receiver.sandbox.cli", "trigger"),
    "events": ("workers.commands.events", "events"),
    "deliveries": ("workers.commands.deliveries", "deliveries"),
    "reconcile": ("workers.commands.deliveries", "reconcile"),
    "listen": ("workers.commands.listen", "listen"),
    "status": ("workers.commands.status", "status"),
    "keys": ("workers.commands.keys", "keys"),
    "handlers": ("workers.commands.handlers", "handlers"),
    "init": ("workers.commands.init", "init"),
    "sign": ("workers.commands.signatures", "sign"),
    "verify": ("workers.commands.signatures", "verify"),
}


class _Commands(click.Group):
    """Imports commands from elsewhere when they are used, and turns our errors into a message and an exit code."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *_ELSEWHERE])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _ELSEWHERE:
            return super().get_command(context, name)
        module, attribute = _ELSEWHERE[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ConfigurationError as error:
            click.echo(f"Error: {error}", err=True)
            click.echo("Hint: settings are environment variables; the README lists them all.", err=True)
            sys.exit(EXIT_USAGE)
        except ReceiverError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_FAILED)


# Click leaves colours out where there is no terminal; NO_COLOR it does not know (https://no-color.org).
_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "color": False if os.environ.get("NO_COLOR") else None}


@click.group(
    cls=_Commands,
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  hiloop-receiver demo                           the whole loop on this machine
  hiloop-receiver doctor                         what is missing, and how to mend it
  hiloop-receiver listen --agent deploy-bot      events on a laptop, without a public URL
  hiloop-receiver events list --since 2h         what failed

\b
Every command has --help. Completion: see the README.""",
)
@click.version_option(__version__, prog_name="hiloop-receiver")
def main() -> None:
    """Receive Hiloop's webhooks and act on what humans decide."""


@main.command(
    epilog="""\b
Example:
  PORT=8000 hiloop-receiver web"""
)
def web() -> None:
    """Run the web process: verify webhooks and put them into the queue."""
    sys.stdout.flush()
    # A fresh interpreter: the process that faces the internet must not even have imported what opens answers.
    os.execv(sys.executable, [sys.executable, "-m", "receiver.web"])  # noqa: S606  # this package's own module


@main.command(
    epilog="""\b
Example:
  HILOOP_HANDLERS=handlers hiloop-receiver worker"""
)
def worker() -> None:
    """Run a worker process: open answers and run your handlers."""
    from receiver.logs import set_up_logs
    from receiver.settings import WorkerSettings
    from workers.run import run_worker

    settings = WorkerSettings.from_environment(os.environ)
    set_up_logs(settings.log_level, settings.log_format)
    run_worker(settings)


@main.command(
    epilog="""\b
Examples:
  hiloop-receiver doctor
  hiloop-receiver doctor --webhook https://agents.example.com/webhooks/hiloop
  hiloop-receiver doctor --output json | jq 'select(.level != "ok")'"""
)
@click.option("--release", is_flag=True, help="Also fail where a release must not go on (Procfile's release phase).")
@click.option("--webhook", metavar="URL", help="The endpoint's public address: see whether it can be reached.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor(*, release: bool, webhook: str | None, output: str) -> None:
    """Check settings, keys, handlers, Redis, and whether Hiloop can be reached."""
    from workers.doctor import run_doctor

    sys.exit(run_doctor(os.environ, release=release, webhook=webhook, as_json=output == "json"))


@main.command(
    epilog="""\b
Examples:
  hiloop-receiver demo
  hiloop-receiver demo --once"""
)
@click.option("--once", is_flag=True, help="End after one answer was handled; the exit code tells whether it was.")
@click.option("--auto", is_flag=True, help="The human answers by itself.")
@click.option("--port", default=8787, show_default=True, help="Port of the human's page.")
def demo(*, once: bool, auto: bool, port: int) -> None:
    """Show the whole loop on this machine: Redis, Hiloop, web, worker, and you as the human who decides."""
    from workers.demo import run_demo

    sys.exit(run_demo(once=once, auto=auto, port=0 if once else port))


if __name__ == "__main__":
    main(prog_name="hiloop-receiver")
