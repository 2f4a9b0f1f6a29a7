"""The command group `events`: what is stored, why it failed, and how to make it good."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click

from receiver.exits import FAILED, NOT_FOUND, Failure
from receiver.ledger import Ledger
from receiver.life import life_line
from receiver.stored import STATUSES, Filter, StoredEvent
from workers.commands.edge import Moment, confirm, dry_run_option, explained, open_queue, output_option, yes_option
from workers.commands.output import ago, counted, print_fields, print_json, print_rows, progress, size
from workers.replay import Outcome, Replays, handlers_named

_SHOWN_FIRST: Final = 10


@click.group(
    epilog="""\b
Examples:
  hiloop-receiver events list --since 2h
  hiloop-receiver events list --status handled --agent 'deploy-*' --output json
  hiloop-receiver events show evt_01J…
  hiloop-receiver events replay --reason unknown_key --dry-run
  hiloop-receiver events replay evt_01J… --yes
  hiloop-receiver events discard --type webhook.test --all"""
)
def events() -> None:
    """Stored events: dead letters, what waits, and what was handled."""


def _filtered(statuses: tuple[str, ...]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options that narrow down which events; the command gets them as one `Filter`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--status", type=click.Choice(statuses), default="failed", show_default=True)
        @click.option("--type", "type_", metavar="PATTERN", help="Type of the event; * matches any part.")
        @click.option("--agent", metavar="PATTERN", help="Name of the agent; * matches any part.")
        @click.option("--session", metavar="ID", help="Id of the session.")
        @click.option("--handler", metavar="PATTERN", help="A handler that it failed in (or ran for).")
        @click.option("--reason", help="unknown_key, bad_ciphertext, handler_error, timeout, no_handler, …")
        @click.option("--since", type=Moment(), help="Accepted at or after: 2h (ago), or 2026-11-22T13:30Z.")
        @click.option("--until", type=Moment(), help="Accepted at or before.")
        @functools.wraps(command)
        def run(
            status: str,
            type_: str | None,
            agent: str | None,
            session: str | None,
            handler: str | None,
            reason: str | None,
            since: datetime | None,
            until: datetime | None,
            **others: Any,
        ) -> None:
            command(wanted=Filter(status, type_, agent, session, handler, reason, since, until), **others)

        return run

    return decorate


@events.command(
    "list",
    epilog="""\b
Examples:
  hiloop-receiver events list --since 2h
  hiloop-receiver events list --status handled --agent 'deploy-*' --output json""",
)
@_filtered(tuple(STATUSES))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show at most so many.")
@click.option("--all", "every", is_flag=True, help="Show all that match.")
@output_option
@explained
def list_events(*, wanted: Filter, limit: int, every: bool, output: str) -> None:
    """List events, dead letters if no --status is given; failed and handled ones the latest first."""
    ledger = Ledger(*open_queue())
    found: list[StoredEvent] = []
    for event in ledger.each(wanted):
        if output == "json":
            print_json(event.as_json())
        found.append(event)
        if len(found) == limit and not every:
            break
    if output == "table":
        _print_events(found)
        if len(found) == limit and not every:
            click.secho(f"The first {limit}; --all shows all that match.", dim=True, err=True)


@events.command(
    epilog="""\b
Example:
  hiloop-receiver events show evt_01J…"""
)
@click.argument("event_id")
@output_option
@explained
def show(*, event_id: str, output: str) -> None:
    """Show one event: what is known of it, and what became of it. Never its content."""
    connection, layout = open_queue()
    ledger = Ledger(connection, layout)
    event = ledger.event(event_id)
    if event is None:
        known = ledger.is_known(event_id)
        what = "was accepted, and is not kept any more" if known else "is not known here"
        hint = "HILOOP_KEEP_HANDLED says how long" if known else "`hiloop-receiver deliveries list` shows what was sent"
        raise Failure(f"the event {event_id} {what}", hint, NOT_FOUND)
    if output == "json":
        print_json(event.as_json())
        return
    _print_event(event)


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    """Options of commands that change something."""
    for option in (
        click.option("--all", "every", is_flag=True, help="All that match, even without any filter."),
        click.option("--limit", type=click.IntRange(1), help="At most so many, those accepted first."),
        yes_option,
        dry_run_option,
        output_option,
        click.argument("event_ids", nargs=-1),
    ):
        command = option(command)
    return command


@events.command(
    epilog="""\b
Examples:
  hiloop-receiver events replay evt_01J…
  hiloop-receiver events replay --reason unknown_key --dry-run
  hiloop-receiver events replay --handler handlers.deploy --since 1d --rate 10 --yes"""
)
@_acting
@_filtered(("failed", "handled"))
@click.option("--why", default="", help="A word for handlers and logs: event.replay.reason.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many events a second.")
@explained
def replay(
    *,
    wanted: Filter,
    event_ids: tuple[str, ...],
    every: bool,
    limit: int | None,
    why: str,
    rate: float | None,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Run events again: dead letters, or handled ones whose body was kept (HILOOP_KEEP_EVENTS=all).

    Handlers that have succeeded do not run again for a dead letter; with --handler only that handler runs. Each event
    goes to the end of its session's line, in the order in which they were accepted. Breaking off harms nothing: what
    was put back is no dead letter any more, so the same command goes on.
    """
    connection, layout = open_queue()
    replays = Replays(connection, layout)
    chosen = _choose(Ledger(connection, layout), replays, wanted, event_ids, limit, every=every)
    if not _announce("Replay", chosen, yes=yes, dry_run=dry_run, output=output):
        return
    names = handlers_named(chosen, wanted.handler)
    with progress("Replaying", len(chosen)) as watch, _interruptible(wanted.status):
        outcome = replays.run(chosen, reason=why, handlers=names, rate=rate, watch=watch)
    _tell(outcome, "put back into line", output)


@events.command(
    epilog="""\b
Examples:
  hiloop-receiver events discard evt_01J…
  hiloop-receiver events discard --type webhook.test"""
)
@_acting
@_filtered(("failed",))
@explained
def discard(
    *,
    wanted: Filter,
    event_ids: tuple[str, ...],
    every: bool,
    limit: int | None,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Throw dead letters away for good; they are counted."""
    connection, layout = open_queue()
    replays = Replays(connection, layout)
    chosen = _choose(Ledger(connection, layout), replays, wanted, event_ids, limit, every=every)
    if not _announce("Discard", chosen, yes=yes, dry_run=dry_run, output=output):
        return
    with progress("Discarding", len(chosen)) as watch, _interruptible(wanted.status):
        outcome = replays.discard(chosen, watch=watch)
    _tell(outcome, "discarded", output)


def _choose(
    ledger: Ledger, replays: Replays, wanted: Filter, event_ids: tuple[str, ...], limit: int | None, *, every: bool
) -> list[StoredEvent]:
    if event_ids:
        found = [ledger.event(event_id) for event_id in event_ids]
        for event_id, event in zip(event_ids, found, strict=True):
            if event is None or event.status not in ("failed", "handled"):
                what = "is not known here" if event is None else f"is {event.status}, not a dead letter"
                raise Failure(f"the event {event_id} {what}", "see `hiloop-receiver events list`", NOT_FOUND)
        return [event for event in found if event is not None]
    if wanted == Filter(wanted.status) and not every and limit is None:
        raise click.UsageError("Say which: ids, a filter such as --since 2h, or --all.")
    return replays.select(wanted, limit)


def _announce(verb: str, chosen: list[StoredEvent], *, yes: bool, dry_run: bool, output: str) -> bool:
    """Show what will be touched, and ask. Returns whether to go on."""
    if output == "json" and dry_run:
        for event in chosen:
            print_json(event.as_json())
        return False
    if not chosen:
        click.echo("No event matches.", err=True)
        return False
    if output == "table":
        _print_events(chosen[:_SHOWN_FIRST])
        reasons = Counter(event.reason or event.status for event in chosen).most_common()
        more = f", the first {_SHOWN_FIRST} above" if len(chosen) > _SHOWN_FIRST else ""
        why = ", ".join(f"{name} {number}" for name, number in reasons)
        click.echo(f"\n{counted(len(chosen), 'event')}{more}: {why}")
    if not dry_run:
        confirm(f"{verb} {counted(len(chosen), 'event')}?", yes=yes)
    return not dry_run


@contextmanager
def _interruptible(status: str) -> Iterator[None]:
    """Ctrl-C ends the command with what to do next."""
    try:
        yield
    except KeyboardInterrupt:
        hint = "the same command goes on with those that are left"
        if status == "handled":
            hint += "; --until leaves out what has been handled again since"
        raise Failure("interrupted: some were done, the others are as they were", hint, FAILED) from None


def _tell(outcome: Outcome, what: str, output: str) -> None:
    if output == "json":
        print_json({"id": outcome.id, "done": outcome.done, "gone": outcome.gone, "without_body": outcome.without_body})
    else:
        click.echo(f"{outcome.done} {what}; {outcome.id}")
        if outcome.gone:
            click.echo(f"{outcome.gone} were no dead letters any more.")
    if outcome.without_body:
        hint = "HILOOP_KEEP_EVENTS=all keeps bodies; Hiloop may still have it: `hiloop-receiver deliveries retry`"
        raise Failure(f"{outcome.without_body} have no body any more", hint, FAILED)


def _print_events(found: list[StoredEvent]) -> None:
    rows = [
        (
            event.id,
            event.status,
            event.type,
            event.agent,
            event.session,
            ago(event.accepted_at),
            event.reason or ago(event.next_try),
        )
        for event in found
    ]
    columns = ("id", "status", "type", "agent", "session", "accepted", "reason")
    print_rows(columns, rows, spare=("session", "status", "agent", "type", "accepted"))


def _print_event(event: StoredEvent) -> None:
    print_fields(
        {
            "id": event.id,
            "status": event.status,
            "type": event.type,
            "agent": event.agent,
            "session": event.session,
            "priority": event.priority,
            "size": size(event.bytes),
            "delivery": event.delivery,
            "came again": f"{event.duplicates} times" if event.duplicates else "",
            "claims": event.claims,
            "crashes": event.crashes or "",
            "worker": event.worker,
            "next try": ago(event.next_try),
            "reason": event.reason,
            "error": event.error,
            "replayed": f"{event.replay_id} {event.replay_reason}".strip(),
            "replayable": "yes" if event.replayable else "no, its body is gone",
        }
    )
    if event.handlers:
        click.echo()
        rows = [(one.name, one.state, one.tries, f"{one.ms:.0f}", one.reason) for one in event.handlers]
        print_rows(("handler", "state", "tries", "ms", "reason"), rows)
    click.echo()
    print_rows(("when", "what", ""), [(moment.at, moment.what, moment.detail) for moment in life_line(event)])
