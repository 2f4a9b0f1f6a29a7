"""The handlers of `hiloop-receiver demo`: what a user's own module looks like."""

from __future__ import annotations

import sys

from workers import OpenedEvent, fallback, on, on_response


@on_response(action="approve", agent="deploy-bot")
async def deploy(event: OpenedEvent) -> None:
    """The human said yes."""
    say(event, "approved: deploying v2.4.1")
    await event.reply("Deploying v2.4.1 …")


@on_response(action="reject", agent="deploy-bot")
async def call_off(event: OpenedEvent) -> None:
    """The human said no: a result like any other."""
    say(event, "rejected: v2.4.1 stays where it is")
    await event.reply("Called off.")


@on_response(agent="triage-bot")
def file_incident(event: OpenedEvent) -> None:
    """The human filled in a form."""
    say(event, f"incident filed: {event.response}")
    event.reply("Thank you, the incident is filed.")


@on("message.created")
def read(event: OpenedEvent) -> None:
    """The human wrote something."""
    message = event.data.get("message", {})
    say(event, f"the human writes: {message.get('content')}")


@fallback()
def note(event: OpenedEvent) -> None:
    """Whatever else happens."""
    say(event, f"noted: {event.type}")


def say(event: OpenedEvent, text: str) -> None:
    """Show a line in the demo's terminal. A real handler would not print what a human wrote."""
    sys.stdout.write(f"demo-says: event={event.id} {text}\n")
    sys.stdout.flush()
