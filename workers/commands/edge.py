"""What commands share: options, the way to Redis and to the platform, and how a command fails."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, ParamSpec, TypeVar

import click
import redis
from redis.exceptions import RedisError

from receiver.client import HiloopClient, Retries
from receiver.connections import connect
from receiver.errors import AuthenticationFailed, ConnectionFailed, HiloopError, NotFound, RateLimited, TimedOut
from receiver.exits import FAILED, NOT_FOUND, REFUSED, UNREACHABLE, Failure
from receiver.layout import Layout
from receiver.settings import QueueSettings, duration

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE: Final = Retries(attempts=2, longest_wait=5.0)
_REDIS_TIMEOUT: Final = 5.0


class Moment(click.ParamType[datetime]):
    """A time: how long ago (``2h``, ``7d``), or ISO 8601 (``2026-11-22T13:30Z``; without a zone in UTC)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Called by click."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) - timedelta(seconds=duration(str(value)))
        except (ValueError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2h, 7d or 2026-11-22T13:30Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Seconds(click.ParamType[float]):
    """A duration such as ``90s`` or ``5m``, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Called by click."""
        try:
            return value if isinstance(value, float) else duration(str(value))
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json: one object, or for lists one object a line.",
)
agent_option = click.option("--agent", envvar="HILOOP_AGENT_NAME", help="Act as this agent.  [env: HILOOP_AGENT_NAME]")
webhook_option = click.option(
    "--webhook",
    "webhooks",
    multiple=True,
    metavar="ID",
    envvar="HILOOP_WEBHOOK_ID",
    callback=lambda _context, _option, given: tuple(part for one in given for part in one.replace(",", " ").split()),
    help="Only deliveries to this webhook, where an agent has several.  [env: HILOOP_WEBHOOK_ID]",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what it would touch.")


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate ``command`` so that errors of Redis and of the platform end it with a hint and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except HiloopError as error:
            raise _platform_failure(error) from None
        except (RedisError, OSError) as error:
            # The text of an error may quote its arguments; its type says enough.
            hint = "check REDIS_URL and HILOOP_REDIS_TLS, or run `hiloop-receiver doctor`"
            raise Failure(f"Redis cannot be reached: {type(error).__name__}", hint, UNREACHABLE) from None

    return run


def _platform_failure(error: HiloopError) -> Failure:
    hint = error.hint or "run `hiloop-receiver doctor`, and look at Hiloop's status"
    code = FAILED
    if isinstance(error, AuthenticationFailed | RateLimited):
        code = REFUSED
    elif isinstance(error, NotFound):
        code = NOT_FOUND
    elif isinstance(error, ConnectionFailed | TimedOut):
        code = UNREACHABLE
    return Failure(f"Hiloop: {error.message} ({error.code})", hint, code)


def open_queue() -> tuple[redis.Redis, Layout]:
    """A connection to Redis until the command ends, and the layout of the queue. Raises `ConfigurationError`."""
    settings = QueueSettings.from_environment(os.environ)
    connection = connect(settings, timeout=_REDIS_TIMEOUT)
    click.get_current_context().call_on_close(connection.close)
    return connection, settings.layout


def open_client(agent: str | None) -> HiloopClient:
    """A client of Hiloop's API. Raises `HiloopError` for a key that cannot be right."""
    return HiloopClient(None, named(agent), retries=PATIENCE)


def named(agent: str | None) -> str:
    """The agent's name; ends the command if there is none."""
    if not agent:
        raise click.UsageError("Say which agent: --agent NAME, or set HILOOP_AGENT_NAME.")
    return agent


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``. Ends the command if the answer is no, or nobody is there to give one."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to be asked; add --yes, or --dry-run to only look.")
    click.confirm(question, abort=True, err=True)
