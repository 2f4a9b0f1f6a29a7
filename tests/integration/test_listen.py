"""The command `listen` as a process: events come off the list of deliveries of a webhook that nobody can reach."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import redis

from receiver.client import HiloopClient, button, button_group
from receiver.embedded import EmbeddedRedis, free_port
from receiver.sandbox.harness import LocalHiloop
from tests.support.commands import run
from tests.support.ledger import events
from tests.support.processes import WORKER_SETTINGS, Running, start
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, SECRET, TOKEN

AGENT = "deploy-bot"
NOWHERE = "http://127.0.0.1:9/nowhere"


def local_hiloop(webhook_url: str | None = NOWHERE, **options: Any) -> LocalHiloop:
    """A platform that tries to deliver to an address which nobody serves."""
    return LocalHiloop(webhook_url=webhook_url, token=TOKEN, secret=SECRET, api_key=API_KEY, auto="approve", **options)


@pytest.fixture
def hiloop() -> Iterator[LocalHiloop]:
    with local_hiloop() as hiloop:
        yield hiloop


@pytest.fixture
def env(tmp_path: Path, hiloop: LocalHiloop) -> dict[str, str]:
    """The command's environment, without a Redis."""
    return {
        **WORKER_SETTINGS,
        "HILOOP_BASE_URL": hiloop.url,
        "HILOOP_AGENT_NAME": AGENT,
        "LEDGER": str(tmp_path / "ledger"),
    }


Listen = Callable[..., Running]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Starts the command and waits until it listens: ``listen(env, *arguments)``."""
    started: list[Running] = []

    def starter(env: Mapping[str, str], *arguments: str) -> Running:
        command = ["-m", "workers.cli", "listen", "--output", "json", *arguments]
        running = start(command, tmp_path, "listen", env)
        started.append(running)
        wait_until(lambda: "Listening" in running.log or running.process.poll() is not None, 40, "it listens")
        assert running.process.poll() is None, running.log
        return running

    yield starter
    for running in started:
        running.kill()


def ask(hiloop: LocalHiloop, number: int = 1) -> None:
    """Questions that the human answers at once: two events each, which are on the list when this returns."""
    before = hiloop.admin.stats()["total"]
    with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:
        for _ in range(number):
            session = client.create_session(title="Deploy?")
            client.send_message(session.id, components=[button_group(button("Yes", "approve"))])
    wait_until(lambda: hiloop.admin.stats()["total"] == before + 2 * number, 10, "all are answered")


def results(running: Running, result: str) -> list[str]:
    """The events to which ``result`` has happened, in order."""
    rows = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    return [row["event"] for row in rows if row["result"] == result]


def interrupted(running: Running) -> int:
    """Its exit code after Ctrl-C."""
    running.send(signal.SIGINT)
    return running.wait()


def test_events_are_handled_and_the_next_one_goes_on_where_it_stopped(
    env: dict[str, str], hiloop: LocalHiloop, listen: Listen, redis_server: EmbeddedRedis, redis_client: redis.Redis,
    tmp_path: Path,
) -> None:  # fmt: skip
    env["REDIS_URL"] = redis_server.url
    ask(hiloop)
    first = listen(env)
    ask(hiloop, 2)
    wait_until(lambda: len(events(tmp_path, "done")) == 2, 40, "the answers are handled")
    wait_until(lambda: len(results(first, "accepted")) == 4)
    assert interrupted(first) == 0
    assert API_KEY not in first.log
    ask(hiloop)
    again = listen(env)
    wait_until(lambda: len(events(tmp_path, "done")) == 3, 40, "what came meanwhile is handled")
    wait_until(lambda: len(results(again, "accepted")) == 2)
    everything = listen(env, "--since", "1h", "--no-worker")
    wait_until(lambda: len(results(everything, "duplicate")) == 6, 10, "what was accepted is known")
    assert len(results(everything, "accepted")) == 2, "what was there before the first one"
    wait_until(lambda: len(events(tmp_path, "done")) == 4, 20)
    assert len(set(events(tmp_path, "done"))) == 4
    counters: Any = redis_client.hgetall("hiloop:hiloop:counters")
    assert int(counters[b"accepted"]) == 8


def test_it_brings_its_own_redis_and_takes_all_with_it(
    env: dict[str, str], hiloop: LocalHiloop, listen: Listen, tmp_path: Path
) -> None:
    ours = hiloop.admin.webhooks()[0]["id"]
    hiloop.admin.add_webhook(NOWHERE, secret="the secret of another")
    running = listen(env, "--webhook", ours)
    ask(hiloop)
    wait_until(lambda: len(events(tmp_path, "done")) == 1, 20, "the answer is handled")
    wait_until(lambda: len(results(running, "accepted")) == 2)
    assert not results(running, "refused")
    children = psutil.Process(running.pid).children(recursive=True)
    assert any("worker" in child.cmdline() for child in children)
    running.kill()
    wait_until(lambda: not [one for one in children if one.is_running() and one.status() != "zombie"], 10, "all ended")


def test_what_is_signed_by_others_is_refused_and_taken_once_the_secret_is_right(
    env: dict[str, str], hiloop: LocalHiloop, listen: Listen, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    env["REDIS_URL"] = redis_server.url
    wrong = listen({**env, "HILOOP_WEBHOOK_SECRET": "not-this-one"}, "--no-worker")
    ask(hiloop)
    wait_until(lambda: len(results(wrong, "refused")) == 2, 10)
    assert not results(wrong, "accepted")
    assert interrupted(wrong) == 0
    right = listen(env, "--no-worker")
    wait_until(lambda: len(results(right, "accepted")) == 2, 10)


def test_platform_and_redis_may_go_away(
    env: dict[str, str], listen: Listen, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    port, state = free_port(), tmp_path / "state"
    env |= {"REDIS_URL": own_redis.url, "HILOOP_BASE_URL": f"http://127.0.0.1:{port}"}
    with local_hiloop(port=port, state_file=state):
        running = listen(env, "--no-worker")
    wait_until(lambda: "trying again" in running.log, 10, "it tells that the platform is away")
    with local_hiloop(port=port, state_file=state) as hiloop:
        ask(hiloop)
        wait_until(lambda: len(results(running, "accepted")) == 2, 10)
        own_redis.kill()
        ask(hiloop)
        wait_until(lambda: results(running, "later"), 15, "it tells that Redis is away")
        own_redis.start()
        wait_until(lambda: len(set(results(running, "accepted"))) == 4, 15)
    assert "Traceback" not in running.log


def test_a_platform_that_asks_for_rest_gets_it(
    env: dict[str, str], listen: Listen, redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path
) -> None:
    env["REDIS_URL"] = redis_server.url
    state = tmp_path / "state"
    with local_hiloop(state_file=state) as hiloop:
        ask(hiloop)
    with local_hiloop(None, state_file=state, rate_limit=2) as hiloop:
        running = listen({**env, "HILOOP_BASE_URL": hiloop.url}, "--no-worker", "--since", "1h")
        wait_until(lambda: len(results(running, "accepted")) == 2, 40)


class SilentPlatform(BaseHTTPRequestHandler):
    """Lists one delivery, and tells of it no more than what is published."""

    known: ClassVar = {"id": "dlv_1", "status": "Failed", "attempts": 1, "createdAt": "2026-11-22T13:30:17.123Z"}

    def do_GET(self) -> None:
        """Answer a list, or the delivery."""
        one = self.path.partition("?")[0].endswith("/dlv_1")
        body = json.dumps(self.known if one else {"items": [self.known], "nextCursor": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Be silent."""


def test_a_platform_that_tells_no_bodies(env: dict[str, str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SilentPlatform) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = run("listen", env={**env, "HILOOP_BASE_URL": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
    assert ended.code == 1
    assert "tunnel" in ended.err
    assert "sandbox" in ended.err


def test_exit_codes(env: dict[str, str], redis_server: EmbeddedRedis) -> None:
    shared = {**env, "REDIS_URL": redis_server.url}
    assert run("listen", env={**shared, "HILOOP_AGENT_NAME": ""}).code == 2
    assert run("listen", env={**shared, "HILOOP_HANDLERS": ""}).code == 2
    assert run("listen", "--no-worker", env=env).code == 2
    assert run("listen", env={**shared, "HILOOP_API_KEY": "hlp_" + "1" * 64}).code == 4
    assert run("listen", env={**shared, "HILOOP_BASE_URL": "http://127.0.0.1:1"}).code == 5
    assert run("listen", env={**shared, "REDIS_URL": "redis://127.0.0.1:1/0"}).code == 5
    broken = run("listen", env={**shared, "HILOOP_HANDLERS": "not_there"})
    assert (broken.code, "no module not_there" in broken.err, "the worker has ended" in broken.err) == (1, True, True)
