"""`hiloop-receiver demo` shows an answer that was handled, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until

DEMO = [sys.executable, "-m", "workers.cli", "demo"]
STEPS = ("received", "verified", "queued", "opened", "handled")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for temporary files of a demo; short, since sockets have short names."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def leftovers(folder: Path) -> list[object]:
    """Processes whose files are in ``folder``, and what is left in it."""
    mine = [
        each.pid for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or [])
    ]
    return [*mine, *folder.iterdir()]


def test_once_ends_with_success_after_the_answer_was_handled(folder: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--once"], env=environment(folder), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = done.stdout[done.stdout.index("response.created") :]
    times = [float(re.search(rf"([\d.]+) ms\s+{step}", story)[1]) for step in STEPS]  # type: ignore[index]  # fails if absent
    assert times == sorted(times)
    assert "approved: deploying v2.4.1" in story
    wait_until(lambda: not leftovers(folder), what="nothing is left behind")


def test_once_fails_when_the_answer_is_not_handled(folder: Path) -> None:
    # An embedded server that cannot start is what most easily goes wrong on a user's machine.
    done = subprocess.run(
        [*DEMO, "--once"],
        env={**environment(folder), "HILOOP_EMBEDDED_SERVER": "/bin/false"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "server" in done.stderr
    assert not leftovers(folder)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_stopped(folder: Path, signum: signal.Signals) -> None:
    log = folder.parent / f"{folder.name}.log"
    try:
        with log.open("w") as output:
            demo = subprocess.Popen([*DEMO, "--auto", "--port", "0"], env=environment(folder), stdout=output)
        children: list[psutil.Process] = []
        try:
            wait_until(lambda: "incident filed" in log.read_text(), 30, "the form was handled")
            children = psutil.Process(demo.pid).children(recursive=True)
            assert len(children) >= 3  # Redis, web, worker
            demo.send_signal(signum)
            demo.wait(15)
        finally:
            demo.kill()
            demo.wait()
        wait_until(lambda: not any(each.is_running() for each in children), what="no process is left")
        wait_until(lambda: not leftovers(folder), what="no file is left")
    finally:
        log.unlink()
