"""Alerts of real workers: a chat that takes them over HTTP, and handlers that users write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from receiver.alerting import Alerting
from receiver.embedded import EmbeddedRedis, free_port
from receiver.settings import WorkerSettings
from tests.conftest import StartProcess
from tests.support.alerts import Chat, noted
from tests.support.ledger import events
from tests.support.processes import CANARY, Running
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.wire import OLD_SECRET, SECRET, answer, post
from workers.alerter import Alerter
from workers.registry import Registry
from workers.run import background_tasks

QUICK = {"HILOOP_RETRIES": "0", "HILOOP_ALERT_CHECK": "50ms"}


@pytest.fixture
def chat() -> Iterator[Chat]:
    """Where workers send alerts."""
    with Chat() as running:
        yield running


@pytest.fixture
def queue(redis_client: redis.Redis, scripts: Scripts) -> Scripts:
    """An empty queue behind the shared web process."""
    return scripts


def send(web: Running, event: str, do: str = "fail", secret: str = SECRET) -> None:
    """Send an answer with a session of its own."""
    assert post(web.port, answer({"do": do}, event_id=event, session_id=event), secret=secret).status == 202


def wait_for_looks(client: redis.Redis, number: int = 3) -> None:
    """Wait until workers have looked at the queue some more times, whatever they have told."""
    for _ in range(number):
        before = looked(client)
        wait_until(lambda before=before: looked(client) > before)


def looked(client: redis.Redis) -> float:
    """When workers last looked."""
    raw: Any = client.hget("hiloop:hiloop:alerts", "moves")
    return float(json.loads(raw)[2] or 0) if raw else 0.0


def test_dead_letters_are_told_once_and_then_that_they_are_gone(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, chat: Chat
) -> None:
    settings = {**QUICK, "HILOOP_ALERT_URL": chat.url}
    # Whoever can write to Redis cannot keep workers from looking.
    queue.client.hset("hiloop:hiloop:alerts", mapping={"moves": "[null, null, null]", "told:url": "[]"})
    worker, other = worker_of(redis_server.url, settings), worker_of(redis_server.url, settings)
    wait_for_looks(queue.client)
    assert chat.bodies == [], "all is well"
    send(web, "evt_1")
    wait_until(lambda: chat.bodies)
    (body,) = chat.bodies
    assert body["alert"]["title"] == "1 new dead letter, 1 in all"
    assert body["alert"]["facts"] == ["why: handler_error (1)", "in: tests.support.handlers.act (1)"]
    assert body["alert"]["events"] == ["evt_1"]
    assert "`hiloop-receiver events replay --reason handler_error`" in body["text"]

    send(web, "evt_2")
    wait_until(lambda: len(queue.members("failed")) == 2)
    wait_for_looks(queue.client)
    # Neither another worker nor one that starts anew tells it again.
    worker.stop()
    other.stop()
    again = worker_of(redis_server.url, settings)
    wait_for_looks(queue.client)
    assert len(chat.bodies) == 1
    assert queue.discard("evt_1", "evt_2") == [1, 1]
    wait_until(lambda: len(chat.bodies) == 2)
    assert chat.told() == [("dead_letters", "firing"), ("dead_letters", "resolved")]
    for log in (worker.log, other.log, again.log):
        assert "canary" not in log
        assert chat.url not in log


def test_what_is_urgent_does_not_wait(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, chat: Chat
) -> None:
    worker_of(redis_server.url, {**QUICK, "HILOOP_ALERT_URL": chat.url, "HILOOP_WEBHOOK_SECRET": SECRET})
    send(web, "evt_1")
    wait_until(lambda: chat.bodies)
    send(web, "evt_2", secret=OLD_SECRET)  # which the worker does not know: as if somebody had forged it
    wait_until(lambda: len(chat.bodies) == 2)
    assert chat.told() == [("dead_letters", "firing"), ("urgent_dead_letters", "firing")]
    urgent = chat.bodies[1]["alert"]
    assert (urgent["severity"], urgent["events"], urgent["facts"][0]) == (
        "critical",
        ["evt_2"],
        "why: unverifiable (1)",
    )
    queue.discard("evt_1", "evt_2")
    wait_until(lambda: len(chat.bodies) == 4)
    assert sorted(chat.told()[2:]) == [("dead_letters", "resolved"), ("urgent_dead_letters", "resolved")]


def test_after_its_time_more_of_a_kind_is_told(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, chat: Chat
) -> None:
    worker_of(redis_server.url, {**QUICK, "HILOOP_ALERT_URL": chat.url, "HILOOP_ALERT_EVERY": "300ms"})
    send(web, "evt_1")
    wait_until(lambda: len(chat.bodies) == 1)
    send(web, "evt_2")
    wait_until(lambda: len(chat.bodies) == 2)
    assert chat.bodies[1]["alert"]["title"] == "1 new dead letter, 2 in all"
    assert chat.bodies[1]["alert"]["events"] == ["evt_2"]


def test_events_that_wait_and_a_queue_that_stands_still(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, chat: Chat, tmp_path: Path
) -> None:
    limits = {"HILOOP_ALERT_WAITING": "200ms", "HILOOP_ALERT_STALLED": "300ms", "HILOOP_ALERT_URL": chat.url}
    worker_of(redis_server.url, {**QUICK, **limits})
    queue.client.set("rq:suspended", 1)
    send(web, "evt_1", "ok")
    wait_until(lambda: sorted(chat.told()) == [("stalled", "firing"), ("waiting", "firing")])
    stalled = next(body["alert"] for body in chat.bodies if body["alert"]["kind"] == "stalled")
    assert stalled["facts"] == ["waiting 1, retrying 0, in flight 0 of 100, workers 1", "the workers are suspended"]
    queue.client.delete("rq:suspended")
    wait_until(lambda: events(tmp_path, "done") == ["evt_1"])
    wait_until(lambda: sorted(chat.told()[2:]) == [("stalled", "resolved"), ("waiting", "resolved")])


def test_a_chat_that_is_down_is_tried_again_and_harms_nobody(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, chat: Chat, tmp_path: Path
) -> None:
    chat.status = 500
    worker = worker_of(redis_server.url, {**QUICK, "HILOOP_ALERT_URL": chat.url})
    send(web, "evt_1")
    wait_until(lambda: chat.tries)
    send(web, "evt_2", "ok")
    wait_until(lambda: events(tmp_path, "done") == ["evt_2"])
    send(web, "evt_3")
    wait_until(lambda: len(queue.members("failed")) == 2)
    tries = chat.tries
    wait_until(lambda: chat.tries >= tries + 2)  # the second one has seen both
    chat.status = 200
    wait_until(lambda: chat.bodies)
    assert chat.bodies[0]["alert"]["title"] == "2 new dead letters, 2 in all", "what is true when it is told"
    assert 'error="status 500"' in worker.log
    assert "canary" not in worker.log


def test_an_address_that_is_not_there_harms_nobody(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url, {**QUICK, "HILOOP_ALERT_URL": f"http://127.0.0.1:{free_port()}/canary"})
    send(web, "evt_1")
    wait_until(lambda: "an alert was not taken" in worker.log)
    assert 'error="ConnectError' in worker.log
    assert "canary" not in worker.log
    send(web, "evt_2", "ok")
    wait_until(lambda: events(tmp_path, "done") == ["evt_2"])
    assert worker.stop() == 0


def test_handlers_of_alerts(
    queue: Scripts, web: Running, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    worker = worker_of(redis_server.url, {**QUICK, "HILOOP_HANDLERS": "tests.support.alert_handlers"})
    send(web, "evt_1")
    wait_until(lambda: len([one for one in noted(tmp_path) if one[0] == "fails"]) == 2)
    assert sorted(set(noted(tmp_path))) == [
        ("async", "dead_letters", False),
        ("fails", "dead_letters", False),
        ("plain", "dead_letters", False),
    ]
    queue.discard("evt_1")
    wait_until(lambda: {("async", "dead_letters", True), ("plain", "dead_letters", True)} <= set(noted(tmp_path)))
    wait_for_looks(queue.client)
    told = [one for one in noted(tmp_path) if one[0] != "fails"]
    assert len(told) == 4, "each of them each once"
    assert "an alert was not taken" in worker.log
    assert "RuntimeError at alert_handlers.py:" in worker.log
    assert CANARY not in worker.log


def test_without_a_receiver_nobody_looks(redis_server: EmbeddedRedis) -> None:
    settings = WorkerSettings(redis_url=redis_server.url)
    with_address = replace(settings, alerts=Alerting(url="http://127.0.0.1:1"))
    looking = [
        [task for task in background_tasks(one, Registry()) if isinstance(task, Alerter)]
        for one in (settings, with_address)
    ]
    assert [len(tasks) for tasks in looking] == [0, 1]
