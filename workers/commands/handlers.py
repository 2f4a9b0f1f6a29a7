"""The command `handlers`: which functions want which events."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from receiver.settings import WorkerSettings
from workers.catalog import describe_handler
from workers.commands.edge import output_option
from workers.commands.output import print_json, print_rows
from workers.registry import Handler
from workers.run import import_handlers


@click.command(
    epilog="""\b
Example:
  HILOOP_HANDLERS=handlers hiloop-receiver handlers"""
)
@output_option
def handlers(*, output: str) -> None:
    """List the handlers that a worker would run, in order: what they match, retries and timeout."""
    settings = WorkerSettings.from_environment(_complete(os.environ))
    shown = [_describe(handler, settings) for handler in import_handlers(settings)]
    if output == "json":
        for one in shown:
            print_json(one)
        return
    rows = [
        (
            one["handler"],
            " ".join([one["type"], *(f"{name}={value}" for name, value in one["matches"].items())]),
            "async" if one["async"] else "thread",
            one["retries"],
            f"{one['timeout']:g}s",
            ("fallback" if one["fallback"] else "") + ("" if one["ordered"] else " unordered"),
        )
        for one in shown
    ]
    print_rows(("handler", "matches", "runs", "retries", "timeout", ""), rows, spare=("runs", "", "retries", "timeout"))


def _complete(environment: Mapping[str, str]) -> dict[str, str]:
    """What the settings of a worker require beside its handlers, where it is not set: nothing of it is used here."""
    unused = {
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "HILOOP_WEBHOOK_SECRET": "not used by this command",
        "HILOOP_API_KEY": "hlp_" + "0" * 64,
    }
    return unused | dict(environment)


def _describe(handler: Handler, settings: WorkerSettings) -> dict[str, Any]:
    note = describe_handler(handler, settings)
    return {
        "handler": note.name,
        "type": note.type,
        "matches": note.matches,
        "async": note.is_async,
        "retries": note.retries,
        "timeout": note.timeout,
        "ordered": note.ordered,
        "fallback": note.fallback,
    }
