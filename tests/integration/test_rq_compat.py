"""RQ's own command line and API on live queues of ours, with a real worker, and what a hostile job cannot do."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import Worker

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.ledger import events
from tests.support.processes import ROOT, Running, worker_name
from tests.support.scripts import LAYOUT, Scripts
from tests.support.waiting import wait_until
from tests.support.wire import answer, signature

JSON = "rq.serializers.JSONSerializer"


class Rq:
    """The `rq` command, its API, and events put in as the web process does."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis, folder: Path) -> None:
        self.url, self.client, self.folder = server.url, client, folder
        self.scripts = Scripts(client)

    def command(self, *arguments: str) -> str:
        """Run `rq` in a process of its own; returns its output."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "rq.cli", *arguments, "--url", self.url],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def accept(self, event: str, do: str = "ok", *, lane: str = "", priority: str = "normal") -> None:
        """Put an answer into the queue; the handler does what it says."""
        session = lane or f"session-of-{event}"
        self.scripts.accept(
            event, lane=lane, priority=priority, body=answer({"do": do}, event_id=event, session_id=session)
        )

    def job(self, job_id: str) -> Job:
        """A job as RQ reads it."""
        return self.scripts.job(job_id)

    def failed(self, priority: str = "normal") -> list[str]:
        """The dead letters as RQ lists them."""
        registry = FailedJobRegistry(LAYOUT.queue_for(priority), connection=self.client, serializer=JSONSerializer)
        return registry.get_job_ids()

    def worker(self) -> Worker:
        """The only worker, as RQ sees it."""
        (found,) = Worker.all(connection=self.client)
        return found

    def done(self) -> list[str]:
        """The events that were handled, in order."""
        return events(self.folder, "done")

    def open_gate(self) -> None:
        """Let handlers that wait go on."""
        (self.folder / "gate").touch()


@pytest.fixture
def rq(redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path) -> Rq:
    return Rq(redis_server, redis_client, tmp_path)


@pytest.fixture
def worker(rq: Rq, worker_of: StartProcess) -> Running:
    """A worker over the shared server."""
    return worker_of(rq.url, {"HILOOP_RETRIES": "0"})


def test_info_counts_and_shows_the_worker(rq: Rq, worker: Running) -> None:
    rq.accept("dead-1", "fail")
    rq.accept("dead-2", "fail", priority="high")
    wait_until(lambda: (len(rq.failed()), len(rq.failed("high"))) == (1, 1))
    rq.accept("busy-1", "wait")
    rq.accept("busy-2", "wait", lane="s")
    rq.accept("waits", lane="s")
    wait_until(lambda: len(events(rq.folder, "start")) == 4)
    output = rq.command("info", "--raw")
    lines = dict(line.removeprefix("queue ").split(" ", 1) for line in output.splitlines() if line.startswith("queue"))
    assert lines == {
        "hiloop": "0, 2 executing, 0 finished, 1 failed",
        "hiloop-high": "0, 0 executing, 0 finished, 1 failed",
        "hiloop-critical": "0, 0 executing, 0 finished, 0 failed",
        "hiloop-low": "0, 0 executing, 0 finished, 0 failed",
    }
    (line,) = [line for line in output.splitlines() if line.startswith("worker")]
    assert f"{worker_name(rq.client, worker.pid)} " in line
    assert f" {worker.pid}) busy hiloop-critical, hiloop-high, hiloop, hiloop-low." in line
    rq.open_gate()
    wait_until(lambda: len(rq.done()) == 3)
    wait_until(lambda: re.search(r" idle .* 3 finished", rq.command("info", "--raw", "--only-workers")))


def test_states_of_a_worker(rq: Rq, worker: Running) -> None:
    wait_until(lambda: rq.worker().get_state() == "idle")
    shown = rq.worker()
    assert (shown.pid, shown.queue_names()) == (worker.pid, list(LAYOUT.queues))
    rq.accept("a", "wait")
    wait_until(lambda: rq.worker().get_state() == "busy")
    rq.open_gate()
    wait_until(lambda: rq.worker().get_state() == "idle")
    rq.command("suspend")
    wait_until(lambda: rq.worker().get_state() == "suspended")
    assert worker.stop() == 0
    assert Worker.all(connection=rq.client) == []


def test_suspend_and_resume(rq: Rq, worker: Running) -> None:
    rq.accept("before", "wait")
    wait_until(lambda: events(rq.folder, "start") == ["before"])
    rq.command("suspend")
    rq.accept("during-1")
    rq.accept("during-2")
    rq.open_gate()
    wait_until(lambda: rq.done() == ["before"], what="what runs is finished")
    wait_until(lambda: rq.worker().get_state() == "suspended")
    assert rq.scripts.queue() == ["during-1", "during-2"]
    rq.command("resume")
    wait_until(lambda: sorted(rq.done()) == ["before", "during-1", "during-2"], 5)


@pytest.mark.parametrize("how", ["one", "all", "api"])
def test_requeue(rq: Rq, worker: Running, how: str) -> None:
    rq.accept("a", "fail", lane="s")
    wait_until(lambda: rq.failed() == ["a"])
    # The replay of "a" waits for its turn behind what has come since.
    rq.accept("b", "wait", lane="s")
    rq.accept("c", lane="s")
    wait_until(lambda: events(rq.folder, "start") == ["a", "b"])
    if how == "api":
        rq.job("a").requeue()
    else:
        rq.command("requeue", "--queue", "hiloop", *(["--all"] if how == "all" else ["a"]))
    wait_until(lambda: rq.scripts.lane("s") == ["b", "c", "a"], 5)
    assert (rq.failed(), rq.job("a").get_status()) == ([], JobStatus.DEFERRED)
    rq.open_gate()
    wait_until(lambda: events(rq.folder, "start") == ["a", "b", "c", "a"], 5)
    wait_until(lambda: rq.failed() == ["a"])
    assert rq.done() == ["b", "c"]
    assert worker.defects == []


def test_a_requeued_job_that_now_succeeds_is_finished(rq: Rq, worker: Running) -> None:
    rq.accept("a", "fail first")
    wait_until(lambda: rq.failed() == ["a"])
    # The replay counts its tries from 1 again, so that "fail first" would fail again: mend what it does.
    body = answer({"do": "ok"}, event_id="a", session_id="session-of-a")
    rq.client.hset("rq:job:a", mapping={"body": body, "signature": signature(body)})
    rq.command("requeue", "--queue", "hiloop", "--serializer", JSON, "a")
    wait_until(lambda: rq.done() == ["a"], 5)
    wait_until(lambda: rq.scripts.job("a").is_finished)
    assert rq.failed() == []


def test_empty_and_delete_hold_up_no_session(rq: Rq, worker_of: StartProcess) -> None:
    for event in "abc":
        rq.accept(event, lane="s")
    rq.accept("x", lane="t")
    rq.accept("y", lane="t")
    assert Queue("hiloop", connection=rq.client).job_ids == ["a", "x"]
    assert "2 jobs removed" in rq.command("empty", "hiloop")
    worker_of(rq.url, {"HILOOP_LEASE": "1s"})
    wait_until(lambda: sorted(rq.done()) == ["b", "c", "y"], what="what waited behind them runs")
    assert rq.scripts.keys_about("lane") == []


def test_cancel_holds_up_no_session(rq: Rq, worker_of: StartProcess) -> None:
    for event in "abcd":
        rq.accept(event, lane="s")
    rq.job("a").cancel()
    rq.job("c").cancel()
    worker_of(rq.url, {"HILOOP_LEASE": "1s"})
    wait_until(lambda: rq.done() == ["b", "d"])
    assert [rq.job(job).get_status() for job in "ac"] == [JobStatus.CANCELED] * 2


def test_the_shutdown_command_stops_the_worker(rq: Rq, worker: Running) -> None:
    rq.accept("a", "wait")
    wait_until(lambda: events(rq.folder, "start") == ["a"])
    name = worker_name(rq.client, worker.pid)
    assert name is not None
    send_shutdown_command(rq.client, name)
    assert worker.wait() == 0
    assert (rq.scripts.queue(), rq.scripts.members("wip")) == (["a"], [])
    assert Worker.all(connection=rq.client) == []


def test_the_stop_job_command_stops_one_event(rq: Rq, worker: Running) -> None:
    rq.accept("a", "wait", lane="s")
    rq.accept("b", "wait")
    wait_until(lambda: sorted(events(rq.folder, "start")) == ["a", "b"])
    rq.accept("c", lane="s")
    send_stop_job_command(rq.client, "a", serializer=JSONSerializer)
    wait_until(lambda: rq.failed() == ["a"])
    assert rq.scripts.field("a", "reason") == "stopped"
    wait_until(lambda: rq.done() == ["c"])
    rq.open_gate()
    wait_until(lambda: sorted(rq.done()) == ["b", "c"])


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"7", b"{}", b'{"command": 7}', b'{"command": "x"}', b"\xff", b"[" * 9999]
)
def test_commands_that_are_none_are_ignored(rq: Rq, worker: Running, message: bytes) -> None:
    channel = f"rq:pubsub:{worker_name(rq.client, worker.pid)}"
    wait_until(lambda: rq.client.publish(channel, message) == 1)
    rq.accept("a")
    wait_until(lambda: rq.done() == ["a"])
    assert worker.defects == []


def foreign_jobs(proof: Path) -> dict[str, Any]:
    """Jobs that would leave a proof if anybody ran them."""

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {proof}",)

    data = json.dumps(["os.system", None, [f"touch {proof}"], {}])
    return {
        "json": {"data": data},
        "pickle": {"data": pickle.dumps(Evil())},
        "pickled meta": {"data": data, "meta": pickle.dumps(Evil())},
        "callbacks": {"data": data, "success_callback_name": "os.system", "failure_callback_name": "os.abort"},
    }


@pytest.mark.parametrize("kind", ["json", "pickle", "pickled meta", "callbacks"])
def test_a_foreign_job_is_never_run(rq: Rq, worker: Running, kind: str) -> None:
    proof = rq.folder / "proof"
    fields = {"origin": "hiloop", "status": "queued", "created_at": "2026-11-22T13:30:17.123000Z"}
    rq.client.hset("rq:job:foreign", mapping={**fields, **foreign_jobs(proof)[kind]})
    rq.client.rpush("rq:queue:hiloop", "foreign")
    rq.accept("a")
    wait_until(lambda: rq.done() == ["a"])
    wait_until(lambda: rq.failed() == ["foreign"])
    assert rq.scripts.field("foreign", "reason") == "not_an_event"
    assert not proof.exists()
    assert worker.defects == []


def test_a_job_that_rq_itself_put_into_our_queue_is_never_run(rq: Rq, worker: Running) -> None:
    proof = rq.folder / "proof"
    job = Queue("hiloop", connection=rq.client, serializer=JSONSerializer).enqueue("os.system", f"touch {proof}")
    wait_until(lambda: rq.failed() == [job.id])
    assert rq.scripts.field(job.id, "reason") == "not_an_event"
    assert not proof.exists()


def test_what_else_stands_in_a_job_is_harmless(rq: Rq, worker_of: StartProcess) -> None:
    proof = rq.folder / "proof"
    hooks = [
        {"url": "http://127.0.0.1:1/hook", "job_status": status, "method": "GET"} for status in ("finished", "failed")
    ]
    extra = {
        "meta": foreign_jobs(proof)["pickled meta"]["meta"],
        "webhooks": json.dumps(hooks),
        "success_callback_name": "os.abort",
        "failure_callback_name": "os.abort",
        "data": foreign_jobs(proof)["pickle"]["data"],
        "progress": '{"tests.support.handlers.act": [1, NaN, "pending"]}',
    }
    rq.accept("good")
    rq.accept("bad", "fail")
    for job in ("good", "bad"):
        rq.client.hset(f"rq:job:{job}", mapping=extra)
    worker = worker_of(rq.url, {"HILOOP_RETRIES": "0"})
    wait_until(lambda: rq.done() == ["good"])
    wait_until(lambda: rq.failed() == ["bad"])
    assert not proof.exists()
    for line in worker.log.splitlines():
        assert "127.0.0.1:1" not in line
    assert worker.defects == []


def test_a_forged_event_is_never_handled(rq: Rq, worker_of: StartProcess) -> None:
    forged = answer({"do": "ok"}, event_id="forged")
    rq.scripts.accept("forged", body=forged)
    rq.client.hset("rq:job:forged", "body", forged.replace(b'"deploy-bot"', b'"other-bot!"'))
    rq.scripts.accept("unsigned", body=forged)
    rq.client.hset("rq:job:unsigned", "signature", signature(forged, "another secret"))
    worker_of(rq.url)
    wait_until(lambda: sorted(rq.failed()) == ["forged", "unsigned"])
    assert {rq.scripts.field(job, "reason") for job in ("forged", "unsigned")} == {"unverifiable"}
    assert events(rq.folder, "start") == []


def test_a_stock_worker_does_no_harm(rq: Rq) -> None:
    rq.accept("a", lane="s")
    process = subprocess.run(
        [sys.executable, "-m", "rq.cli", "worker", "hiloop", "--burst", "--serializer", JSON, "--url", rq.url],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=rq.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode in (0, -signal.SIGTERM), process.stderr
    assert rq.failed() == ["a"], "visible, and not handled by somebody who cannot"
    assert rq.scripts.field("a", "body") is not None
