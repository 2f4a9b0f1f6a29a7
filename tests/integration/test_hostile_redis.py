"""Whoever can write to Redis: a real worker stays alive, runs nothing of theirs, and goes on with good events."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from receiver.embedded import EmbeddedRedis
from receiver.ledger import Ledger
from receiver.stored import Filter
from tests.support.ledger import events
from tests.support.processes import Running, start_web, start_worker, worker_name
from tests.support.scripts import LAYOUT
from tests.support.waiting import wait_until
from tests.support.wire import answer, post, signature

FIELDS: Final = (
    "data", "body", "signature", "event", "lane", "progress", "replay", "claims", "crashes", "reason", "died_at",
    "status", "origin", "created_at", "enqueued_at", "started_at", "timeout", "description", "copy_of", "meta",
    "worker_name", "success_callback_name", "failure_callback_name", "repeats_left", "webhooks", "group_id",
)  # fmt: skip
TEXTS: Final = (
    b"", b"0", b"-1", b"1e309", b"nan", b"9" * 400, b"null", b"[]", b"{}", b'{"id":1}', b"\x00", b"\xff\xfe", b"queued",
    b"started", b"failed", b"hiloop", b"hiloop-high", b"no such queue", b'{"a":[0,1e400,"pending"]}',
    b'["os.system",null,["id"],{}]',
    b'{"tests.support.handlers.act":[-5,0,"pending",0,""]}', b"[" * 5000, b"2026-11-22T00:00:00.000000Z", b"a:b:c",
    b"cposix\nsystem\n.",
)  # fmt: skip
ANYTHING: Final = st.sampled_from(TEXTS) | st.binary(max_size=60)


class Stage:
    """A server, a web process and a worker; gives the worker hostile jobs and sees whether it still does its own."""

    def __init__(self, server: EmbeddedRedis, folder: Path) -> None:
        self.client: Any = server.client()
        self.folder = folder
        self.web: Running = start_web(server.url, folder)
        self.worker: Running = start_worker(server.url, folder)
        self.number = 0

    def close(self) -> None:
        self.web.kill()
        self.worker.kill()
        self.client.close()

    def handles_a_good_event(self) -> None:
        """Fails unless a genuine answer is handled now, by the same process."""
        self.number += 1
        event = f"good-{self.number}"
        body = answer({"do": "ok"}, event_id=event, session_id=event)
        wait_until(lambda: post(self.web.port, body).status in (200, 202), what="the event is accepted")
        wait_until(lambda: event in events(self.folder, "done"), 20, f"{event} is handled")
        assert self.worker.process.poll() is None, self.worker.log
        assert "Traceback" not in self.worker.log
        assert "Traceback" not in self.web.log

    def queue_up(self, fields: dict[str, bytes]) -> str:
        """Write a job hash and put it into line, as somebody with access to Redis would."""
        self.number += 1
        job = f"hostile-{self.number}"
        if fields:
            self.client.hset(LAYOUT.rq(f"job:{job}"), mapping=fields)
        self.client.lpush(LAYOUT.rq("queue:hiloop"), job)
        self.client.publish(self.channel, b"")
        return job

    @property
    def channel(self) -> str:
        """On which the worker is woken."""
        return LAYOUT.own(f"wake:{worker_name(self.client, self.worker.pid)}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with EmbeddedRedis() as server:
        stage = Stage(server, tmp_path_factory.mktemp("hostile"))
        yield stage
        stage.close()


# A job that looks as ours do, so that one wrong field is met behind all that is right.
GENUINE: Final = answer({"do": "ok"}, event_id="genuine", session_id="s")
LIKE_OURS: Final = {
    "body": GENUINE,
    "signature": signature(GENUINE),
    "status": b"queued",
    "origin": b"hiloop",
    "lane": b"",
    "created_at": b"2026-11-22T00:00:00.000000Z",
}


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.booleans(), st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=8))
@example(True, {"claims": b"many"})
@example(True, {"crashes": b"many"})
@example(True, {"progress": b"[" * 5000})
@example(True, {"origin": b"no such queue"})
@example(True, {"origin": b"\xff"})
@example(True, {"created_at": b"9999-99-99T99:99:99.9Z"})
@example(True, {"lane": b"\xff\xfe"})
@example(True, {"replay": b"[" * 5000})
@example(True, {"replay": b'{"id":1,"handlers":7}'})
@example(True, {"died_at": b"1", "progress": b'{"a":7}'})
@example(False, {"data": b"\x80\x04cposix\nsystem\n.", "body": b"x", "origin": b"hiloop", "status": b"queued"})
def test_a_job_with_any_fields_is_got_over(stage: Stage, like_ours: bool, fields: dict[str, bytes]) -> None:
    job = stage.queue_up({**LIKE_OURS, **fields} if like_ours else fields)
    line = LAYOUT.rq("queue:hiloop")
    wait_until(lambda: job.encode() not in stage.client.lrange(line, 0, -1), 20, "it has left the line")
    assert stage.worker.process.poll() is None, stage.worker.log


def test_good_events_go_on_after_all_that(stage: Stage) -> None:
    stage.handles_a_good_event()


def test_no_event_is_forged(stage: Stage) -> None:
    forged = answer({"do": "ok"}, event_id="forged", session_id="s")
    jobs = {
        "not signed": {**LIKE_OURS, "body": forged, "signature": b""},
        "signed with a guess": {**LIKE_OURS, "body": forged, "signature": signature(forged, "a-guessed-secret")},
        "with the signature of another": {**LIKE_OURS, "body": forged},
        "changed": {**LIKE_OURS, "body": GENUINE.replace(b"deploy-bot", b"deploy-bat")},
    }
    for fields in jobs.values():
        job = stage.queue_up(fields)
        wait_until(lambda job=job: stage.client.hget(LAYOUT.rq(f"job:{job}"), "reason") == b"unverifiable")
    assert "forged" not in events(stage.folder, "start")
    stage.handles_a_good_event()


def test_no_code_is_run_and_no_url_is_called(stage: Stage, tmp_path: Path) -> None:
    called: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            called.append(self.path)

        do_GET = do_POST  # noqa: N815  # the same

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    touch = f"touch {tmp_path}/run"
    pickled = b"cposix\nsystem\n(V%s\ntR." % touch.encode()
    for fields in (
        {"data": json.dumps(["os.system", None, [touch], {}]).encode()},
        {"data": json.dumps(["builtins.eval", None, [f"__import__('os').system('{touch}')"], {}]).encode()},
        {"data": pickled, "meta": pickled, "success_callback_name": b"os.system"},
        {"webhooks": json.dumps([{"url": url, "events": ["*"]}]).encode(), "webhook": url.encode()},
        {"failure_callback_name": b"os.system", "stopped_callback_name": b"os.system", "meta": pickled},
    ):
        for shape in ({}, LIKE_OURS):
            stage.queue_up({**shape, "origin": b"hiloop", "status": b"queued", **fields})
    stage.handles_a_good_event()
    wait_until(lambda: stage.client.llen(LAYOUT.rq("queue:hiloop")) == 0)
    server.shutdown()
    server.server_close()
    assert (called, list(tmp_path.iterdir())) == ([], [])


MESSAGES: Final = (
    b"no json", b"[]", b"{}", b"null", b"[1,2,3,4,5,6,7,8]", b'["a","b","c","d","e","f","g","h"]',
    b'["a","b","c","d","e",1,"g",{}]', b'["a","b",1,2,3,4,5,6]', b"[" * 100_000, b"\xff\xff", b'{"command":"run"}',
    b'{"command":["shutdown"]}', b'["a:b","c","","","",1,"",""]', b'["' + b"9" * 5000 + b'"]',
    b'["a","b","c","d","e",' + b"9" * 5000 + b',"g","h"]', b'{"command":"stop-job"}', b'{"command":"kill-horse"}',
    b'"x"',
)  # fmt: skip


def test_messages_that_nobody_of_ours_sends_are_ignored(stage: Stage) -> None:
    commands = f"rq:pubsub:{worker_name(stage.client, stage.worker.pid)}"
    for channel in (stage.channel, commands):
        for message in MESSAGES:
            assert stage.client.publish(channel, message) == 1
    stage.handles_a_good_event()


def own(name: str) -> str:
    return LAYOUT.own(name)


def rq(name: str) -> str:
    return LAYOUT.rq(name)


KEYS: Final = (
    rq("queue:hiloop"), rq("queue:hiloop-critical"), rq("scheduled:hiloop"), rq("wip:hiloop"), rq("deferred:hiloop"),
    rq("failed:hiloop"), rq("finished:hiloop"), rq("workers"), rq("queues"), own("leases"), own("beat"),
    own("waiting"), own("isolated"), own("isolator"), own("turn"), own("counters"), own("dead"), own("dead_bytes"),
)  # fmt: skip


def as_string(client: redis.Redis, key: str) -> None:
    client.set(key, "hostile")


def as_stream(client: redis.Redis, key: str) -> None:
    client.xadd(key, {"hostile": "1"})


@pytest.mark.parametrize("make", [as_string, as_stream])
def test_keys_of_the_wrong_type_stop_nobody_for_longer_than_they_are_there(
    stage: Stage, make: Callable[[redis.Redis, str], None]
) -> None:
    before = stage.worker.log.count("redis is not available")
    channel = stage.channel
    for key in KEYS:
        with stage.client.pipeline() as pipe:  # the worker must not come in between
            pipe.delete(key)
            make(pipe, key)
            pipe.publish(channel, b"")
            pipe.execute()
    wait_until(lambda: stage.worker.log.count("redis is not available") > before)
    for key in KEYS:
        stage.client.delete(key)
    stage.handles_a_good_event()


def test_lines_full_of_jobs_that_are_none_are_worked_off(stage: Stage) -> None:
    line = LAYOUT.rq("queue:hiloop-high")
    stage.client.rpush(line, *[b"", b":", b"a:b", b"\xff", b"x" * 100_000, *(f"gone-{n}" for n in range(500))])
    stage.client.set(LAYOUT.rq("job:string"), "no hash")
    stage.client.rpush(line, "string", "after")
    wait_until(lambda: stage.client.llen(line) == 0, 20)
    stage.client.delete(LAYOUT.rq("job:string"))
    stage.handles_a_good_event()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=8), ANYTHING, ANYTHING)
@example({}, b"\xff", b"\xff")
@example({}, b"ms:x", b"9" * 5000)
@example({}, b"ms:" + b"9" * 400, b"1")
def test_whoever_looks_sees_something(
    redis_client: redis.Redis, fields: dict[str, bytes], name: bytes, value: bytes
) -> None:
    redis_client.flushall()
    if fields:
        redis_client.hset(rq("job:looked-at"), mapping=fields)
    for kind in ("failed", "finished", "scheduled", "wip", "deferred"):
        redis_client.zadd(rq(f"{kind}:hiloop"), {b"looked-at:" + name: 1, name: 2})
    redis_client.rpush(rq("queue:hiloop"), "looked-at", name)
    redis_client.hset(own("counters"), name, value)
    redis_client.hset(own(f"minute:{int(time.time() // 60)}"), name, value)
    redis_client.hset(own("platform"), name, value)
    redis_client.set(own("dead_bytes"), value)
    redis_client.zadd(own("leases"), {name: 1})
    redis_client.hset(rq("worker:").encode() + name, mapping={name: value, b"pid": value})
    ledger = Ledger(redis_client, LAYOUT)
    ledger.status()
    ledger.platform()
    for status in ("waiting", "running", "retrying", "failed", "handled"):
        ledger.page(Filter(status=status))
