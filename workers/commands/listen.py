"""The command `listen`: take events off the platform's list of deliveries, and run the handlers, all in one command."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final

import click
from rich.text import Text

from receiver.client import AsyncHiloopClient
from receiver.embedded import EmbeddedRedis
from receiver.exits import FAILED, Failure
from receiver.guard import Guard
from receiver.logs import set_up_logs
from receiver.settings import WorkerSettings
from workers.commands.edge import PATIENCE, Moment, agent_option, explained, named, output_option, webhook_option
from workers.commands.output import cell, console, print_json
from workers.listen import BEFORE_ALL, Listener, Taken, Trouble, listening

# The application's answer → what became of the event, for scripts and for people, and its colour.
_RESULTS: Final[Mapping[int | None, tuple[str, str, str]]] = {
    202: ("accepted", "accepted", "green"),
    200: ("duplicate", "accepted before", "dim"),
    400: ("refused", "refused: its body is no event", "red"),
    401: ("refused", "refused: HILOOP_WEBHOOK_SECRET is not the secret of this webhook", "red"),
    413: ("refused", "refused: larger than HILOOP_MAX_BODY", "red"),
    422: ("refused", "refused: older than HILOOP_DEDUP_WINDOW", "red"),
    503: ("later", "Redis cannot take it now; it is tried again", "yellow"),
    None: ("gone", "Hiloop does not keep its body any more", "yellow"),
}


@click.command(
    epilog="""\b
Examples:
  hiloop-receiver listen --agent deploy-bot
  hiloop-receiver listen --since 1h             also what came within the last hour
  hiloop-receiver listen --no-worker            workers elsewhere run the handlers
  hiloop-receiver listen --output json | jq .event"""
)
@agent_option
@webhook_option
@click.option("--since", type=Moment(), help="Go back to: 2h (ago), 2026-11-22T13:30Z. Without: to where it stopped.")
@click.option("--worker/--no-worker", default=True, show_default=True, help="Run the handlers in this command.")
@output_option
@explained
def listen(*, agent: str | None, webhooks: tuple[str, ...], since: datetime | None, worker: bool, output: str) -> None:
    """Take events from Hiloop without a public URL, and run your handlers: for your own machine.

    Follows Hiloop's list of deliveries to a webhook, wherever that points, and takes each in as if it had been sent
    here: the same checks, the same queue. Without REDIS_URL it brings a Redis of its own.
    """
    environment = {**os.environ, "HILOOP_AGENT_NAME": named(agent)}
    with ExitStack() as stack:
        if not environment.get("REDIS_URL"):
            if not worker:
                raise click.UsageError("Set REDIS_URL, or the workers elsewhere will not find what is taken in here.")
            environment["REDIS_URL"] = stack.enter_context(EmbeddedRedis()).url
            click.echo("REDIS_URL is not set: a Redis of this command's own serves, and ends with it.", err=True)
        if worker:
            WorkerSettings.from_environment(environment)  # all that is wrong is told before anything runs
        # What the web application would log of each event stands in our own lines.
        set_up_logs(logging.WARNING, "text", sys.stderr.buffer)
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(_run(environment, webhooks, since, worker=worker, as_json=output == "json"))
    click.echo("Stopped.", err=True)


async def _run(
    environment: Mapping[str, str],
    webhooks: tuple[str, ...],
    since: datetime | None,
    *,
    worker: bool,
    as_json: bool,
) -> None:
    """Listen until SIGINT or SIGTERM cancels this task, or something ends that must not."""
    this: Any = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        client = await enter(AsyncHiloopClient(None, environment["HILOOP_AGENT_NAME"], retries=PATIENCE))
        listener = await enter(listening(client, environment, webhooks=webhooks))
        begin = await listener.start(since)
        click.echo(_greeting(client, begin), err=True)
        if listener.is_empty:
            click.echo("There are no deliveries yet; Hiloop makes them for webhooks (Admin > Webhooks).", err=True)
        try:
            async with asyncio.TaskGroup() as group:
                if worker:
                    group.create_task(_watch(await enter(_worker(environment))))
                group.create_task(_tell(listener, as_json=as_json))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


def _greeting(client: AsyncHiloopClient, begin: datetime | None) -> str:
    if begin is None:
        where = "from now on; --since 1h goes back"
    else:
        where = "from the first one" if begin == BEFORE_ALL else f"since {begin:%Y-%m-%d %H:%M:%S} UTC"
    return f"Listening for {client.caller.name} at {client.caller.base_url}, {where}. Ctrl-C stops."


async def _tell(listener: Listener, *, as_json: bool) -> None:
    terminal = console()
    troubled = False
    async for one in listener.follow():
        if isinstance(one, Trouble):
            if not troubled:
                click.secho(f"Hiloop: {one.error.message}; trying again from now on", fg="yellow", err=True)
        elif as_json:
            print_json(_as_json(one))
        else:
            terminal.print(_line(one), soft_wrap=True)
        troubled = isinstance(one, Trouble)


def _line(taken: Taken) -> Text:
    delivery = taken.delivery
    _, words, colour = _result(taken)
    line = Text(f"{datetime.now().astimezone():%H:%M:%S}  ", style="dim")
    line.append_text(Text.assemble(cell(f"{delivery.event_type:<17}"), "  ", cell(delivery.event_id), "  "))
    return line.append(words, style=colour)


def _as_json(taken: Taken) -> dict[str, Any]:
    delivery = taken.delivery
    return {
        "event": delivery.event_id,
        "type": delivery.event_type,
        "session": delivery.session_id,
        "delivery": delivery.id,
        "webhook": delivery.webhook_id,
        "created_at": delivery.raw.get("createdAt"),
        "result": _result(taken)[0],
        "status": taken.status,
    }


def _result(taken: Taken) -> tuple[str, str, str]:
    return _RESULTS.get(taken.status, ("refused", f"refused: {taken.status}", "red"))


@asynccontextmanager
async def _worker(environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """A worker process while the block runs; its log goes to standard error."""
    # There is no webhook that could be reached, so nothing is to be asked for again.
    settings = {**environment, "HILOOP_RECONCILE": "0", "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.cli", "worker"),
        env=settings,
        stdin=DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,  # Ctrl-C reaches this process, which stops it in order
    )
    guard = Guard(process.pid)
    try:
        yield process
    finally:
        if process.returncode is None:
            click.echo("\nStopping: handlers that run may end; Ctrl-C once more does not wait for them.", err=True)
            process.terminate()
        await process.wait()
        guard.release()


async def _watch(process: Process) -> None:
    code = await process.wait()
    raise Failure(f"the worker has ended (exit code {code})", "what it said stands above", FAILED)
