"""The Procfile as Heroku runs it: TLS to the smallest Redis, PORT, SIGTERM to every process, daily restarts."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from receiver.embedded import EmbeddedRedis, free_port
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.sandbox.harness import LocalHiloop
from receiver.testing import webhook_body
from tests.support.installed import Installed
from tests.support.processes import ROOT
from tests.support.tls import tls_before
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, SECRET, TOKEN, exchange, post, request_head

# What the smallest plan gives: https://devcenter.heroku.com/articles/heroku-redis
SMALLEST_PLAN = {
    "maxclients": "20",
    "maxmemory": "25mb",
    "maxmemory-policy": "noeviction",
    "timeout": "300",
    "appendonly": "no",
}
# What the README promises, a process each; one of the web process's is for /metrics.
WEB_CONNECTIONS = 3
WORKER_CONNECTIONS = 3
HEROKU_KILLS_AFTER = 30.0
MEMORY = 512 * 1024**2


@dataclass(slots=True)
class Dynos:
    """Processes of the Procfile, under honcho in the platform's place."""

    honcho: subprocess.Popen[bytes]
    log_path: Path
    port: int
    redis_port: int
    running: dict[str, psutil.Process] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def find(self) -> bool:
        """Whether both processes run, which are then in ``running``."""
        for process in psutil.Process(self.honcho.pid).children(recursive=True):
            command = " ".join(process.cmdline())
            for name, words in (("web", "-m receiver.web"), ("worker", "hiloop-receiver worker")):
                if command.endswith(words):
                    self.running[name] = process
        return len(self.running) == 2

    def is_ready(self) -> bool:
        assert self.honcho.poll() is None, self.log
        try:
            return exchange(self.port, request_head([], method="GET", path="/readyz")).status == 200
        except OSError:
            return False

    def connections(self, name: str) -> int:
        """How many connections to Redis a process has now."""
        found = self.running[name].net_connections("tcp")
        return sum(1 for one in found if one.raddr and one.raddr.port == self.redis_port)

    def stop(self) -> dict[str, int]:
        """SIGTERM to every process, as Heroku does, and once more; returns how each ended."""
        for _ in range(2):
            for process in self.running.values():
                process.send_signal(signal.SIGTERM)
        self.honcho.wait(HEROKU_KILLS_AFTER)
        return {name: int(code) for name, code in re.findall(r"system +\| (\S+) stopped \(rc=(-?\d+)\)", self.log)}


@pytest.fixture
def small_redis() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(options=SMALLEST_PLAN) as server:
        yield server


@pytest.fixture
def tls_port(small_redis: EmbeddedRedis) -> Iterator[int]:
    with tls_before(small_redis.port) as port:
        yield port


@pytest.fixture
def platform() -> Iterator[LocalHiloop]:
    with LocalHiloop(api_key=API_KEY) as hiloop:
        yield hiloop


class Heroku:
    """Runs what the Procfile says, with the environment of a dyno."""

    def __init__(self, installed: Installed, tls_port: int, platform: LocalHiloop, folder: Path) -> None:
        self.folder = folder
        self.redis_port = tls_port
        self.environment = installed.environment(
            {
                "DYNO": "web.1",
                "PYTHONUNBUFFERED": "1",
                "REDIS_URL": f"rediss://127.0.0.1:{tls_port}",
                "HILOOP_REDIS_TLS": "self-signed",
                "HILOOP_WEBHOOK_TOKEN": TOKEN,
                "HILOOP_WEBHOOK_SECRET": SECRET,
                "HILOOP_METRICS_TOKEN": TOKEN,
                "HILOOP_API_KEY": API_KEY,
                "HILOOP_AGENT_NAME": "deploy-bot",
                "HILOOP_HANDLERS": "workers.project.handlers",
                "HILOOP_BASE_URL": platform.url,
                "HILOOP_KEEP_DEAD_BYTES": "5mb",
                "HILOOP_KEEP_HANDLED_MAX": "5000",
            }
        )
        self.started: list[Dynos] = []

    def honcho(self, *processes: str, port: int = 5000) -> tuple[subprocess.Popen[bytes], Path]:
        log_path = self.folder / f"honcho-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "honcho", "start", "-f", str(ROOT / "Procfile"), "-p", str(port)]
        with log_path.open("wb") as log:
            started = subprocess.Popen(
                [*command, "--no-colour", *processes],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return started, log_path

    def start(self) -> Dynos:
        port = free_port()
        process, log_path = self.honcho("web", "worker", port=port)
        dynos = Dynos(process, log_path, port, self.redis_port)
        self.started.append(dynos)
        wait_until(dynos.find, 20, "both processes run")
        wait_until(dynos.is_ready, 20, "the web process is ready")
        return dynos

    def clean_up(self) -> None:
        for dynos in self.started:
            for process in dynos.running.values():
                if process.is_running():
                    process.kill()
            dynos.honcho.kill()
            dynos.honcho.wait()


@pytest.fixture
def heroku(installed: Installed, tls_port: int, platform: LocalHiloop, tmp_path: Path) -> Iterator[Heroku]:
    running = Heroku(installed, tls_port, platform, tmp_path)
    yield running
    running.clean_up()


@pytest.fixture
def ledger(small_redis: EmbeddedRedis) -> Iterator[Ledger]:
    with small_redis.client() as client:
        yield Ledger(client, Layout())


def test_a_release_goes_on_only_if_the_doctor_finds_no_problem(heroku: Heroku) -> None:
    released, log_path = heroku.honcho("release")
    assert released.wait(30) == 0, log_path.read_text()
    assert "it has accepted is gone when it restarts" in log_path.read_text()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        heroku.environment["REDIS_URL"] = f"rediss://127.0.0.1:{nobody.getsockname()[1]}"
        released, log_path = heroku.honcho("release")
        assert released.wait(30) == 1, log_path.read_text()
    assert "Redis cannot be reached" in log_path.read_text()


def test_it_fits_the_smallest_plan_and_a_daily_restart_loses_nothing(heroku: Heroku, ledger: Ledger) -> None:
    dynos = heroku.start()
    assert "HILOOP_API_KEY" not in dynos.running["web"].environ()
    assert "HILOOP_API_KEY" in dynos.running["worker"].environ()
    accepted: list[str] = []
    most = {"web": 0, "worker": 0}
    restarted = threading.Event()

    def send(number: int) -> None:
        body = webhook_body(type="session.closed", session_id=f"s-{number % 50}", event_id=f"e{number}")
        if number % 3 == 0:
            exchange(dynos.port, request_head([], method="GET", path="/readyz"))
        if number % 5 == 0:
            bearer = [("Authorization", f"Bearer {TOKEN}")]
            assert exchange(dynos.port, request_head(bearer, method="GET", path="/metrics")).status == 200
        if post(dynos.port, body).status == 202:
            accepted.append(f"e{number}")

    def send_until_it_ends(first: int) -> None:
        number = first
        while not restarted.is_set():
            try:
                send(number)
            except OSError:
                return  # it is going down: the platform will send it again
            number += 16

    with ThreadPoolExecutor(16) as pool:
        sending = [pool.submit(send_until_it_ends, first) for first in range(16)]

        def measure() -> bool:
            for name in most:
                most[name] = max(most[name], dynos.connections(name))
            return len(accepted) > 600

        wait_until(measure, 30, "600 events are accepted")
        memory = {name: process.memory_info().rss for name, process in dynos.running.items()}
        started = time.monotonic()
        codes = dynos.stop()
        took = time.monotonic() - started
        restarted.set()
        for one in sending:
            one.result()
    assert codes == {"web.1": 0, "worker.1": 0}, dynos.log
    assert took < HEROKU_KILLS_AFTER / 2
    assert 1 <= most["web"] <= WEB_CONNECTIONS
    assert 2 <= most["worker"] <= WORKER_CONNECTIONS
    assert max(memory.values()) < MEMORY / 4, memory
    assert "Traceback" not in dynos.log
    assert ledger.workers() == []

    again = heroku.start()
    wait_until(lambda: ledger.counters()["handled"] == ledger.counters()["accepted"], 20, "all are handled")
    assert ledger.counters()["accepted"] >= len(accepted)
    assert not ledger.counters().get("dead")
    assert again.stop() == {"web.1": 0, "worker.1": 0}, again.log
