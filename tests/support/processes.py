"""Start the real web and worker processes of this project, and stop them by their pid."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from receiver.embedded import free_port
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, OLD_SECRET, OLD_TOKEN, SECRET, TOKEN

ROOT: Final = Path(__file__).parents[2]
# A process under test must not wait for its grace longer than a test does.
STOP_SECONDS: Final = 15.0
# What handlers put into their exceptions; no log and no Redis may ever hold it.
CANARY: Final = "canary-in-the-plaintext"

SETTINGS: Final[Mapping[str, str]] = {
    "HILOOP_WEBHOOK_TOKEN": f"{TOKEN},{OLD_TOKEN}",
    "HILOOP_WEBHOOK_SECRET": f"{SECRET},{OLD_SECRET}",
}
WORKER_SETTINGS: Final[Mapping[str, str]] = {
    **SETTINGS,
    "HILOOP_API_KEY": API_KEY,
    "HILOOP_HANDLERS": "tests.support.handlers",
    "HILOOP_RETRIES": "2",
    "HILOOP_RETRY_BASE": "20ms",
    "HILOOP_RETRY_MAX": "100ms",
    "HILOOP_SHUTDOWN_GRACE": "300ms",
    "HILOOP_LEASE": "2s",
    "HILOOP_RECONCILE": "0",  # there is no platform, and the real one must not be called
}


@dataclass(slots=True)
class Running:
    """A process that a test has started, and where its log goes."""

    process: subprocess.Popen[bytes]
    log_path: Path
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text("utf-8", errors="replace")

    @property
    def defects(self) -> list[str]:
        """The lines of its log that tell of an error nobody expected."""
        return [line for line in self.log.splitlines() if " trail=" in line or "Traceback" in line]

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end; returns its exit code."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """End it as a platform does (SIGTERM), by force if it does not go; returns its exit code."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                return self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"process {self.pid} did not stop:\n{self.log}") from None
        return self.process.returncode

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start(arguments: list[str], folder: Path, name: str, environment: Mapping[str, str]) -> Running:
    """Start a Python process of this project with nothing in its environment but what is given."""
    log_path = folder / f"{name}-{time.monotonic_ns()}.log"
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    full = {**keep, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", **environment}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=full, stdout=log, stderr=subprocess.STDOUT
        )
    return Running(process, log_path, environment=full)


def start_web(redis_url: str, folder: Path, settings: Mapping[str, str] | None = None) -> Running:
    """Start a web process and wait until it answers."""
    port = int((settings or {}).get("PORT", 0)) or free_port()
    environment = {**SETTINGS, "REDIS_URL": redis_url, "HOST": "127.0.0.1", "PORT": str(port), **(settings or {})}
    running = start(["-m", "workers.cli", "web"], folder, "web", environment)
    running.port = port

    def is_ready() -> bool:
        assert running.process.poll() is None, running.log
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    try:
        wait_until(is_ready, 20, "the web process is ready")
    except BaseException:
        running.kill()
        raise
    return running


def start_worker(redis_url: str, folder: Path, settings: Mapping[str, str] | None = None) -> Running:
    """Start a worker process and wait until Redis knows it."""
    environment = {**WORKER_SETTINGS, "REDIS_URL": redis_url, "LEDGER": str(folder / "ledger"), **(settings or {})}
    running = start(["-m", "workers.cli", "worker"], folder, "worker", environment)
    connection = redis.Redis.from_url(redis_url)

    def is_ready() -> bool:
        assert running.process.poll() is None, running.log
        return worker_name(connection, running.pid) is not None

    try:
        wait_until(is_ready, 20, "the worker is ready")
    except BaseException:
        running.kill()
        raise
    finally:
        connection.close()
    return running


def worker_name(connection: redis.Redis, pid: int) -> str | None:
    """The name under which RQ knows the worker with this process id."""
    keys: Any = connection.smembers("rq:workers")
    for key in keys:
        if connection.hget(key, "pid") == str(pid).encode():
            return str(key.decode().removeprefix("rq:worker:"))
    return None
