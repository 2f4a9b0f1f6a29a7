"""What workers under test run: verify, open, and a handler that does nothing."""

from __future__ import annotations

import asyncio
import os
import time

from receiver.keyring import KeyPair, Keyring
from tests.benchmarks.processes import SECRET
from workers import OpenedEvent, on
from workers.job import open_job

API_KEY = "hlp_" + "b" * 64
KEYRING = Keyring([KeyPair.from_api_key(API_KEY)])
_seconds = float(os.environ.get("BENCH_HANDLER_SECONDS", "0"))
_times = os.open(os.environ["BENCH_TIMES"], os.O_WRONLY | os.O_APPEND) if "BENCH_TIMES" in os.environ else -1


def run(body: str, signature: str) -> None:
    """The job function for RQ's own workers: all that ours does before and in its handler."""
    noop(open_job(body.encode(), signature.encode(), secrets=[SECRET.encode()], keyring=KEYRING))


def noop(event: OpenedEvent) -> None:
    """Do nothing with an opened event."""


@on("response.created")
async def handle(event: OpenedEvent) -> None:
    """The same for our worker; takes as long as it is told to, and writes when it started, if that is measured."""
    if _times >= 0:
        os.write(_times, f"{event.id} {time.time():.6f}\n".encode())
    if _seconds:
        await asyncio.sleep(_seconds)
    noop(event)
