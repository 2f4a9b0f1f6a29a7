"""Logs of a process: ours and those of libraries look alike, and no text of an error is in any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from receiver.logs import parse_level
from tests.support.processes import CANARY, ROOT

# Everything that a process may write into its log, each in its own way; `secret` is never to be seen.
PROGRAM = """
import asyncio, logging, sys, threading
from receiver.logs import get_logger, set_up_logs

assert "rich" not in sys.modules
import rich.console  # whoever wants it gets it all the same

secret = sys.argv[2]
early = get_logger()
set_up_logs(logging.INFO, sys.argv[1])
early.info("ours", event_id="evt_1", type="a\\x1b[2J\\nb", ms=1.5)
early.debug("not wanted")
library = logging.getLogger("library")
library.info("theirs\\r\\n2026 error forged %s", "\\u202ex")
library.debug("not wanted")
library.warning("argument %s", RuntimeError(secret))
library.warning("argument %(one)s", {"one": RuntimeError(secret)})
library.error(RuntimeError(secret))
library.error(OSError(98, "the address is in use"))
library.error("does not fit %d", "x")
logging.getLogger("httpx").info("GET https://example/" + secret)

def fail():
    raise KeyError(secret)

try:
    fail()
except KeyError as error:
    early.exception("ours failed")
    early.error("ours failed", exc_info=error)
    library.exception("Exception in ASGI application")
    import traceback
    library.error(traceback.format_exc())
    library.error("callback failed\\ntask: %r" % error, exc_info=error)

async def forgotten():
    loop = asyncio.get_running_loop()
    task = loop.create_task(failing())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

async def failing():
    fail()

asyncio.run(forgotten())
thread = threading.Thread(target=fail, name="handlers")
thread.start()
thread.join()
sys.stdout.buffer.write(b"own output stays\\n")
sys.stdout.flush()
fail()
"""


def run(layout: str) -> list[str]:
    """The lines of the program's log."""
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, layout, CANARY], env=environment, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (1, b"")
    return done.stdout.decode().splitlines()


def test_json() -> None:
    lines = run("json")
    assert lines.count("own output stays") == 1
    logged: list[dict[str, Any]] = [json.loads(line) for line in lines if line != "own output stays"]
    assert [(one["level"], one["message"]) for one in logged] == [
        ("info", "ours"),
        ("info", r"theirs\r\n2026 error forged \u202ex"),
        ("warning", "argument RuntimeError"),
        ("warning", "argument RuntimeError"),
        ("error", "RuntimeError"),
        ("error", "the address is in use"),
        ("error", "does not fit %d"),
        ("error", "ours failed"),
        ("error", "ours failed"),
        ("error", "Exception in ASGI application"),
        ("error", "KeyError at <string>:24 in fail"),
        ("error", "callback failed"),
        ("error", "Task exception was never retrieved"),
        ("error", "uncaught error"),
        ("error", "uncaught error"),
    ]
    assert logged[0] | {"time": ""} == {
        "time": "",
        "level": "info",
        "message": "ours",
        "event_id": "evt_1",
        "type": r"a\x1b[2J\nb",
        "ms": 1.5,
    }
    explained = [one for one in logged if "trail" in one]
    assert len(explained) == 7
    for one in explained:
        assert one["error"] == "KeyError at <string>:24 in fail"
        assert one["trail"].endswith("<string>:24 in fail")
    assert [one["thread"] for one in logged if "thread" in one] == ["handlers", "main"]
    assert CANARY not in str(lines)


def test_text() -> None:
    lines = run("text")
    assert lines[0].endswith(r'Z info    ours event_id=evt_1 type="a\\x1b[2J\\nb" ms=1.50')
    assert len(lines) == 16
    assert CANARY not in str(lines)


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    program = (
        "import os, sys; from receiver.logs import get_logger, set_up_logs; set_up_logs(20, 'text');"
        "os.close(1); get_logger().info('x'); sys.stderr.write('went on')"
    )
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert b"went on" in done.stderr


@pytest.mark.parametrize(("text", "level"), [("debug", 10), ("INFO", 20), ("Warning", 30), ("error", 40)])
def test_levels(text: str, level: int) -> None:
    assert parse_level(text) == level


@pytest.mark.parametrize("text", ["", "verbose", "10", "notset", "critical", "getLogger"])
def test_no_levels(text: str) -> None:
    with pytest.raises(ValueError, match="must be one of: debug, info, warning, error"):
        parse_level(text)
