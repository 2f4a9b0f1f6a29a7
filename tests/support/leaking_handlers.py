"""Handlers that do their worst with what they know: plaintext and every secret are in whatever they raise."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final

from workers import Discard, OpenedEvent, RetryLater, on, on_response

FOLDER: Final = Path(os.environ["LEAKS"])


def everything(event: OpenedEvent) -> str:
    """The plaintext, and all secrets that the worker's environment holds."""
    return " ".join([str(event.data), *os.environ.values()])


class Leak(Exception):
    """An error that shows all it knows in every way an error can."""

    def __init__(self, text: str) -> None:
        super().__init__(text, text.encode())
        self.add_note(text)
        self.text = text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def fail(text: str) -> None:
    """Raise an error that shows all it knows."""
    raise Leak(text)


def fail_once_more(text: str) -> None:
    """Raise an error that comes from another."""
    try:
        fail(text)
    except Leak as error:
        raise KeyError(text) from error


def fail_many_times(text: str) -> None:
    """Raise a group of errors."""
    raise ExceptionGroup(text, [Leak(text), ValueError(text)])


def fail_beyond_exceptions(text: str) -> None:
    """Raise what `except Exception` does not catch."""
    raise type("Leak", (BaseException,), {})(text)


def leave(text: str) -> None:
    """End the thread, with a message."""
    raise SystemExit(text)


def discard(text: str) -> None:
    """Want no more of the event."""
    raise Discard("not wanted") from Leak(text)


def fail_in_a_thread(text: str) -> None:
    """Have a thread fail that nobody waits for."""
    thread = threading.Thread(target=fail, args=[text])
    thread.start()
    thread.join()


def log(text: str) -> None:
    """Log an error as users do."""
    logger = logging.getLogger("users.code")
    try:
        fail(text)
    except Leak as error:
        logger.exception("it failed")
        logger.error("it failed: %s", error)  # noqa: TRY400  # without its traceback, as some do


def crash(_text: str) -> None:
    """Kill the worker, the first time."""
    if not (FOLDER / "crashed").exists():
        (FOLDER / "crashed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


DEEDS: Final = {
    "succeed": len,
    "raise": fail,
    "raise from": fail_once_more,
    "raise a group": fail_many_times,
    "raise what is no Exception": fail_beyond_exceptions,
    "exit": leave,
    "leave a thread": fail_in_a_thread,
    "log": log,
    "discard": discard,
    "crash": crash,
}


@on_response()
async def leak(event: OpenedEvent) -> None:
    """Do what the answer says, once it is noted that its plaintext was there."""
    order: Any = event.response
    what = order["do"]
    (FOLDER / what).write_text(str(order["canary"]))
    text = everything(event)
    if what == "time out":
        await asyncio.sleep(60)
    elif what == "leave a task":
        await asyncio.wait([asyncio.get_running_loop().create_task(fail_later(text))])
    elif what == "later" and event.attempt == 1:
        raise RetryLater(0.05) from Leak(text)
    elif what in DEEDS:
        DEEDS[what](text)


async def fail_later(text: str) -> None:
    """Raise an error that shows all it knows, in a task that nobody asks for its result."""
    await asyncio.sleep(0)
    raise Leak(text)


@on("session.closed")
def leak_in_a_thread(event: OpenedEvent) -> None:
    """A plain function that fails."""
    raise Leak(everything(event))
