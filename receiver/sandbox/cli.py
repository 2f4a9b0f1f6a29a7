"""The commands `sandbox` and `trigger`."""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from receiver.sandbox import identity, options
from receiver.sandbox.failures import explained
from receiver.sandbox.faults import KINDS, Fault
from receiver.sandbox.feed import DELIVERY_ATTEMPTED
from receiver.sandbox.harness import LocalHiloop
from receiver.sandbox.problems import Unreachable
from receiver.sandbox.rules import EXAMPLE, Rule, always, parse
from receiver.sandbox.trigger import DEFAULT_PORT, DEFAULT_URL, trigger
from receiver.senders import fingerprint

__all__ = ["sandbox", "trigger"]

_LOOK: Final = 3600.0  # seconds for which one stream of news is kept open


def _verbatim(text: str) -> str:
    """``text`` as help whose lines click does not join."""
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in text.strip().split("\n\n"))


_HELP: Final = _verbatim(
    "Examples:\n"
    "  hiloop-receiver sandbox --webhook http://127.0.0.1:8000/webhooks/hiloop\n"
    "  hiloop-receiver sandbox --auto approve --after 2s --state hiloop.json\n\n"
    "Faults (x3 for three times, @10% at random, delay:2s for seconds: --fault dropx3 --fault delay:2s@10%)\n"
    + "\n".join(f"  {kind:<16} {what}" for kind, what in KINDS.items())
    + f"\n\nA file of rules:\n\n{EXAMPLE}"
)


@click.command(epilog=_HELP)
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port to listen on; 0 takes any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Another name browsers may use for it.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="Keep the state in this file.")
@click.option("--webhook", metavar="URL", help="Deliver all events to this address.")
@click.option("--token", envvar="HILOOP_SANDBOX_TOKEN", help="The webhook's bearer token.")
@click.option("--secret", envvar="HILOOP_SANDBOX_SECRET", help="The webhook's signing secret.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=options.faults,
    metavar="FAULT",
    help="What goes wrong with the webhook.",
)
@click.option("--speed", default=1.0, show_default=True, help="How fast time runs for retries.")
@click.option("--auto", metavar="ACTION", help="Answer every message with this action.")
@click.option("--after", default="0s", callback=options.seconds, help="Let --auto think for so long.")
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Answer by the rules in this file.",
)
@click.option("--rate-limit", type=float, help="Requests a second that an API key may make.")
@explained
def sandbox(
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    state: Path | None,
    webhook: str | None,
    token: str | None,
    secret: str | None,
    faults: list[Fault],
    speed: float,
    auto: str | None,
    after: float,
    rules: Path | None,
    rate_limit: float | None,
) -> None:
    """Run a local Hiloop: the API, the human's page, signed webhooks. No server for production.

    The human answers on the page, by `hiloop-receiver trigger`, or by itself with --auto or --rules.
    """
    who = identity.load_or_make(identity.default_path(state))
    try:
        hiloop = LocalHiloop(
            webhook_url=webhook,
            token=token,
            secret=secret,
            faults=faults,
            speed=speed,
            auto=_rules(auto, after, rules),
            host=host,
            port=port,
            api_key=who.api_key,
            human_key=who.human,
            state_file=state,
            rate_limit=rate_limit,
            allow_hosts=allow_host,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    signal.signal(signal.SIGTERM, _stop)
    with hiloop:
        _greet(hiloop, webhook, state)
        try:
            _tell(hiloop)
        except KeyboardInterrupt:
            click.echo("\nStopped." if state is None else f"\nStopped; the state is in {state}.")


def _rules(auto: str | None, after: float, file: Path | None) -> list[Rule]:
    written = parse(file.read_text(encoding="utf-8"), file.name) if file else []
    return [*written, *(always(auto, after) if auto else [])]


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _greet(hiloop: LocalHiloop, webhook: str | None, state: Path | None) -> None:
    click.secho("A local Hiloop is running. It is for development, not for production.", bold=True)
    click.echo(f"\n  The human's page   {click.style(hiloop.page_url, fg='cyan', underline=True)}")
    click.echo(f"  The human's key    {fingerprint(hiloop.human.pair.key_id)}")
    click.echo("  For your agent     " + click.style(f"export HILOOP_BASE_URL={hiloop.url}", fg="green"))
    click.echo("                     " + click.style(f"export HILOOP_API_KEY={hiloop.api_key}", fg="green"))
    if webhook is None:
        click.echo("  Webhooks           none; give one with --webhook URL --token … --secret …")
    else:
        click.echo(f"  Webhook            {webhook}")
        click.echo("  For your receiver  " + click.style(f"export HILOOP_WEBHOOK_TOKEN={hiloop.token}", fg="green"))
        click.echo("                     " + click.style(f"export HILOOP_WEBHOOK_SECRET={hiloop.secret}", fg="green"))
    where = "" if hiloop.url == DEFAULT_URL else f" --url {hiloop.url}"
    where += "" if state is None else f" --state {state}"
    click.echo(f"  Without a browser  hiloop-receiver trigger{where} response --action approve")
    if hiloop.is_public:
        click.secho("\n⚠ It listens beyond this machine: whoever reaches it is its human and its admin.", fg="yellow")
    click.secho("\nWhoever opens the page's address is the human. Ctrl-C stops.\n", dim=True)


def _tell(hiloop: LocalHiloop) -> None:
    """Print what happens until the sandbox is stopped."""
    try:
        while True:
            with hiloop.admin.notices(_LOOK) as notices:
                for notice in notices:
                    line = _line(notice)
                    if line:
                        click.echo(f"{click.style(datetime.now().astimezone().strftime('%H:%M:%S'), dim=True)}  {line}")
                        sys.stdout.flush()
    except Unreachable:
        raise KeyboardInterrupt from None


def _line(notice: dict[str, Any]) -> str:
    """What has happened, in a line; empty for what is not worth one. Content is not in it: it is sealed."""
    if notice["type"] == DELIVERY_ATTEMPTED:
        delivery = notice["delivery"]
        sign, colour = {"Delivered": ("✓", "green"), "Pending": ("↻", "yellow"), "Failed": ("✗", "red")}[
            delivery["status"]
        ]
        result = delivery["lastError"] or delivery["lastStatusCode"]
        what = f"{sign} delivery {delivery['id']} of {delivery['eventType']}, attempt {delivery['attempts']}: {result}"
        again = f"; again at {delivery['nextRetryAt']}" if delivery["nextRetryAt"] else ""
        return click.style(what + again, fg=colour)
    if notice["type"] in ("typing", "keys.changed"):
        return ""
    return f"{notice['type']:<18} session {notice['sessionId']}"
