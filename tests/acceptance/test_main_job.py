"""The main job with everything real: sealed answers over HTTP into a server, and a worker that runs handlers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from receiver.embedded import EmbeddedRedis
from receiver.testing import webhook_body
from tests.conftest import StartProcess
from tests.support.ledger import entries, events
from tests.support.processes import CANARY, ROOT, SETTINGS, WORKER_SETTINGS, Running, start
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.wire import answer, post


def send(web: Running, event: str, do: str = "ok", *, session: str = "s-1") -> int:
    """Send a human's answer; the handler does what it says. Returns the status."""
    return post(web.port, answer({"do": do}, event_id=event, session_id=session)).status


@pytest.fixture
def dead(redis_client: redis.Redis) -> FailedJobRegistry:
    """RQ's registry of failed jobs."""
    return FailedJobRegistry("hiloop", connection=redis_client, serializer=JSONSerializer)


@pytest.fixture
def queue(scripts: Scripts, web: Running) -> Scripts:
    """An empty queue behind the shared web process."""
    return scripts


def assert_drained(queue: Scripts) -> None:
    """Nothing waits and nothing is left over."""
    wait_until(
        lambda: all(queue.client.hget(key, "status") == b"finished" for key in queue.keys_about("rq:job:")),
        what="all jobs are finished",
    )
    assert [queue.members(kind) for kind in ("wip", "deferred", "scheduled", "failed")] == [[], [], [], []]
    assert (queue.queue(), queue.keys_about("lane"), queue.keys_about("execution")) == ([], [], [])


def test_an_answer_reaches_its_handler(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url)
    assert send(web, "evt:1.a") == 202
    assert send(web, "evt:1.a") == 200
    assert post(web.port, webhook_body(type="session.closed", session_id="s-1", event_id="closed")).status == 202
    wait_until(lambda: events(tmp_path, "done") == ["evt:1.a", "closed"])
    assert_drained(queue)
    assert worker.stop() == 0
    assert [entry.attempt for entry in entries(tmp_path)] == [1] * 4
    assert worker.defects == []


def test_latency_is_not_that_of_polling(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker_of(redis_server.url)
    sent: dict[str, float] = {}
    for number in range(7):
        event = f"e{number}"
        wait_until(lambda: queue.client.scard("hiloop:hiloop:waiting") == 1)
        sent[event] = time.time()
        send(web, event, session=event)
        wait_until(lambda event=event: event in events(tmp_path, "start"))
    delays = sorted(entry.at - sent[entry.event] for entry in entries(tmp_path) if entry.what == "start")
    assert delays[3] < 0.2, delays


def test_order_within_a_session_while_sessions_run_side_by_side(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    sessions = [f"s-{number}" for number in range(5)]
    sent = [(f"{session}.{number}", session) for number in range(12) for session in sessions]

    def send_session(session: str) -> list[int]:
        return [
            send(web, event, "fail first" if event.endswith(".3") else "ok", session=session)
            for event, one in sent
            if one == session
        ]

    workers = [worker_of(redis_server.url) for _ in range(2)]
    assert send(web, "blocked", "wait", session="another") == 202
    with ThreadPoolExecutor(5) as pool:
        statuses = [status for part in pool.map(send_session, sessions) for status in part]
    assert statuses == [202] * 60
    wait_until(lambda: len(events(tmp_path, "done")) == 60, 20)
    for session in sessions:
        mine = [entry.event for entry in entries(tmp_path) if entry.session == session and entry.what == "done"]
        assert mine == [event for event, one in sent if one == session]
    # No event starts before the one before it has ended.
    for session in sessions:
        running = None
        for entry in entries(tmp_path):
            if entry.session == session:
                assert entry.what == "done" or running in (None, entry.event)
                running = None if entry.what == "done" else entry.event
    (tmp_path / "gate").touch()
    wait_until(lambda: len(events(tmp_path, "done")) == 61)
    assert_drained(queue)
    assert [worker.stop() for worker in workers] == [0, 0]


def test_retries(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker_of(redis_server.url)
    for event, do in (("a", "fail first"), ("b", "later"), ("c", "discard"), ("d", "ok")):
        assert send(web, event, do) == 202
    wait_until(lambda: events(tmp_path, "done") == ["a", "b", "d"])
    tries = [(entry.event, entry.attempt) for entry in entries(tmp_path) if entry.what == "start"]
    assert tries == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), ("d", 1)]
    assert_drained(queue)


def test_dead_letters_are_visible_and_hold_nothing_up(
    queue: Scripts,
    web: Running,
    dead: FailedJobRegistry,
    redis_server: EmbeddedRedis,
    worker_of: StartProcess,
    tmp_path: Path,
) -> None:
    worker = worker_of(redis_server.url)
    assert send(web, "bad", "fail") == 202
    assert send(web, "good") == 202
    wait_until(lambda: events(tmp_path, "done") == ["good"])
    assert dead.get_job_ids() == ["bad"]
    assert [entry.attempt for entry in entries(tmp_path) if entry.event == "bad"] == [1, 2, 3]
    assert queue.field("bad", "reason") == "handler_error"
    assert (queue.field("bad", "error") or "").startswith("RuntimeError at handlers.py:")
    assert send(web, "bad", "fail") == 200, "a redelivery does not run it again"
    # Neither Redis nor the logs hold what the human wrote or what the handler raised.
    stored = b"".join(queue.client.dump(key) or b"" for key in queue.client.scan_iter())
    assert CANARY.encode() not in stored
    assert b"fail" not in (queue.client.hget("rq:job:bad", "body") or b"")
    assert CANARY not in worker.log


def test_the_worker_may_start_after_the_events(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    expected = [f"e{number}" for number in range(150)]
    assert [send(web, event) for event in expected] == [202] * 150
    worker_of(redis_server.url)
    wait_until(lambda: events(tmp_path, "done") == expected, 20)
    assert_drained(queue)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_puts_back_what_is_running(
    queue: Scripts,
    web: Running,
    redis_server: EmbeddedRedis,
    worker_of: StartProcess,
    tmp_path: Path,
    signum: signal.Signals,
) -> None:
    first = worker_of(redis_server.url)
    send(web, "a", "wait")
    send(web, "b")
    send(web, "x", "wait", session="s-2")
    wait_until(lambda: sorted(events(tmp_path, "start")) == ["a", "x"])
    first.send(signum)
    if signum == signal.SIGTERM:
        first.send(signum)  # Heroku may send it twice
    assert first.wait() == 0
    assert (sorted(queue.queue()), queue.members("wip"), queue.lane("s-1")) == (["a", "x"], [], ["a", "b"])
    assert queue.keys_about("rq:worker:") == []
    (tmp_path / "gate").touch()
    worker_of(redis_server.url)
    wait_until(lambda: sorted(events(tmp_path, "done")) == ["a", "b", "x"])
    assert {entry.attempt for entry in entries(tmp_path)} == {1}, "the try that was cut off does not count"
    assert_drained(queue)


def test_a_stop_waits_for_what_ends_within_its_grace(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url, {"HILOOP_SHUTDOWN_GRACE": "30s"})
    send(web, "a", "wait")
    send(web, "b")
    wait_until(lambda: events(tmp_path, "start") == ["a"])
    worker.send(signal.SIGTERM)
    wait_until(lambda: queue.client.scard("hiloop:hiloop:waiting") == 0)
    send(web, "c", session="s-2")
    (tmp_path / "gate").touch()
    assert worker.wait() == 0
    assert events(tmp_path, "done") == ["a"]
    assert sorted(queue.queue()) == ["b", "c"]


def test_a_stop_puts_back_what_does_not_even_hear_of_it(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url)
    send(web, "a", "block long")
    wait_until(lambda: events(tmp_path, "start") == ["a"])
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert (queue.queue(), queue.members("wip"), queue.field("a", "crashes")) == (["a"], [], None)
    assert queue.counters()["released"] == 1


def test_a_second_ctrl_c_stops_at_once(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url, {"HILOOP_SHUTDOWN_GRACE": "60s"})
    send(web, "a", "wait")
    wait_until(lambda: events(tmp_path, "start") == ["a"])
    started = time.monotonic()
    worker.send(signal.SIGINT)
    wait_until(lambda: "stopping" in worker.log)
    worker.send(signal.SIGINT)
    assert worker.wait() == 0
    assert time.monotonic() - started < 10
    assert queue.queue() == ["a"]


def test_a_killed_workers_events_are_taken_over(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    first = worker_of(redis_server.url, {"HILOOP_LEASE": "1s"})
    for event, session in (("a", "s-1"), ("b", "s-1"), ("x", "s-2")):
        send(web, event, "wait" if event in "ax" else "ok", session=session)
    wait_until(lambda: sorted(events(tmp_path, "start")) == ["a", "x"])
    first.kill()
    (tmp_path / "gate").touch()
    worker_of(redis_server.url, {"HILOOP_LEASE": "1s"})
    wait_until(lambda: sorted(events(tmp_path, "done")) == ["a", "b", "x"], 15)
    assert_drained(queue)


def test_a_handler_that_blocks_the_event_loop_does_not_make_its_worker_look_dead(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    workers = [worker_of(redis_server.url, {"HILOOP_LEASE": "1s"}) for _ in range(2)]
    send(web, "a", "block")
    wait_until(lambda: events(tmp_path, "done") == ["a"])
    assert events(tmp_path, "start") == ["a"], "nobody took it over"
    assert_drained(queue)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert "lease lost" not in workers[0].log + workers[1].log


def test_an_event_that_kills_its_worker_ends_as_a_dead_letter(
    queue: Scripts,
    web: Running,
    dead: FailedJobRegistry,
    redis_server: EmbeddedRedis,
    worker_of: StartProcess,
    tmp_path: Path,
) -> None:
    send(web, "poison", "crash")
    send(web, "next")
    crashes = 0
    while not dead.get_job_ids():
        worker = worker_of(redis_server.url, {"HILOOP_LEASE": "1s"})
        wait_until(lambda worker=worker: worker.process.poll() is not None or dead.get_job_ids())
        crashes += worker.process.poll() == -signal.SIGKILL
        assert crashes < 10
    assert dead.get_job_ids() == ["poison"]
    assert queue.field("poison", "reason") == "worker_lost"
    wait_until(lambda: events(tmp_path, "done") == ["next"])
    assert 2 <= crashes <= 4


def test_redis_killed_and_started_again_loses_nothing(
    own_redis: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess, tmp_path: Path
) -> None:
    web, worker = web_of(own_redis.url), worker_of(own_redis.url)
    acknowledged: list[str] = []

    def send_until_acknowledged(event: str) -> None:
        wait_until(lambda: send(web, event, session=f"s-{event[-1]}") in (200, 202), 20)
        acknowledged.append(event)

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(send_until_acknowledged, f"e{number}") for number in range(300)]
        for share in (0.25, 0.5, 0.75):
            wait_until(lambda share=share: len(acknowledged) >= share * 300, 20)
            own_redis.kill()
            own_redis.start()
        for one in sending:
            one.result()
    done = wait_until(
        lambda: (handled := events(tmp_path, "done")) and set(handled) >= set(acknowledged) and handled, 20
    )
    assert set(done) == set(acknowledged) == {f"e{number}" for number in range(300)}
    repeated = sum(count - 1 for count in Counter(done).values())
    assert repeated <= 3 * 100, "at most what was in flight at a kill"
    with own_redis.client() as client:
        assert_drained(Scripts(client))
    assert worker.stop() == 0
    assert worker.defects + web.defects == []


def test_full_memory_stops_no_worker(
    own_redis: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess, tmp_path: Path
) -> None:
    web, worker = web_of(own_redis.url), worker_of(own_redis.url)
    send(web, "a", "wait")
    wait_until(lambda: events(tmp_path, "start") == ["a"])
    with own_redis.client() as client:
        client.config_set("maxmemory", 1)
        assert send(web, "b", session="s-2") == 503
        (tmp_path / "gate").touch()
        wait_until(lambda: client.hget("rq:job:a", "status") == b"finished", what="closing works when memory is full")
        client.config_set("maxmemory", 0)
    assert send(web, "b", session="s-2") == 202
    wait_until(lambda: events(tmp_path, "done") == ["a", "b"])
    assert worker.stop() == 0


WRONG = {
    "web without anything": ("web", {}, ["REDIS_URL", "HILOOP_WEBHOOK_TOKEN", "HILOOP_WEBHOOK_SECRET"]),
    "web with a wrong port": ("web", {**SETTINGS, "REDIS_URL": "redis://h", "PORT": "x"}, ["PORT"]),
    "worker without anything": ("worker", {}, ["REDIS_URL", "HILOOP_API_KEY", "HILOOP_HANDLERS"]),
    "worker with handlers that are not there": (
        "worker",
        {**WORKER_SETTINGS, "REDIS_URL": "redis://h", "HILOOP_HANDLERS": "no_such_module"},
        ["no_such_module"],
    ),
    "worker with a wrong key": (
        "worker",
        {**WORKER_SETTINGS, "REDIS_URL": "redis://h", "HILOOP_AGENT_KEYS": "canary", "LEDGER": "/dev/null"},
        ["HILOOP_AGENT_KEYS"],
    ),
}


@pytest.mark.parametrize(("command", "environment", "named"), WRONG.values(), ids=WRONG.keys())
def test_wrong_settings_stop_the_process_with_one_message(
    tmp_path: Path, command: str, environment: dict[str, str], named: list[str]
) -> None:
    running = start(["-m", "workers.cli", command], tmp_path, command, environment)
    assert running.wait() == 2
    assert running.log.startswith("Error: ")
    for name in named:
        assert name in running.log
    assert running.defects == []
    assert "canary" not in running.log


def test_the_local_server_ends_with_its_parent_even_after_a_kill(tmp_path: Path) -> None:
    program = (
        "from receiver.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis().start()\n"
        "print(server.pid, server._temporary, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert Path(f"/proc/{int(pid)}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not Path(f"/proc/{int(pid)}").exists())
    wait_until(lambda: not Path(folder.decode()).exists())
