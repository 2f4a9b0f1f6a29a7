"""Handlers that write down what they were told, and answer in the session: for tests of the whole loop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workers import OpenedEvent, on, on_response

TOLD = Path(os.environ["TOLD"])


def tell(what: Any) -> None:
    """Append one line."""
    with TOLD.open("a") as file:
        file.write(json.dumps(what) + "\n")


@on_response()
async def answered(event: OpenedEvent, client: Any) -> None:
    """An async handler with a client as second argument."""
    await event.reply(f"Got it, says {client.caller.name}.")
    tell(event.response)


@on("message.created")
def written(event: OpenedEvent) -> None:
    """A plain handler that replies."""
    event.reply("Read.")
    tell(event.data["message"]["content"])
