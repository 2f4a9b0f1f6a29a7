"""The handlers of the tests' workers: they do what the answer says, and write all they do into a ledger.

An answer is `{"do": …}`. A line of the ledger is one JSON object, appended with one write.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from tests.support.processes import CANARY
from workers import Discard, OpenedEvent, RetryLater, on, on_response

LEDGER: Final = Path(os.environ["LEDGER"])


def note(what: str, event: OpenedEvent) -> None:
    """Append one line to the ledger."""
    line = {
        "what": what,
        "event": event.id,
        "session": event.session_id,
        "attempt": event.attempt,
        "pid": os.getpid(),
        "at": time.time(),
    }
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


@on_response()
async def act(event: OpenedEvent) -> None:
    """Do what the answer says."""
    note("start", event)
    order: Any = event.response
    what = order["do"] if isinstance(order, dict) else order
    if what == "fail" or (what == "fail first" and event.attempt == 1):
        raise RuntimeError(CANARY)
    if what == "later" and event.attempt == 1:
        raise RetryLater(0.05)
    if what == "discard":
        raise Discard("not wanted")
    if what == "wait":
        gate = LEDGER.parent / "gate"
        while not gate.exists():  # noqa: ASYNC110  # another process opens it
            await asyncio.sleep(0.01)
    if what in ("block", "block long"):
        time.sleep(2.5 if what == "block" else 20)  # noqa: ASYNC251  # a busy loop of a user's, which stops every other handler
    if what == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    note("done", event)


@on("session.closed")
def tidy(event: OpenedEvent) -> None:
    """A plain function, which runs in a thread."""
    note("start", event)
    note("done", event)
