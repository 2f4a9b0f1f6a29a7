"""One event can be followed by its id through the logs of the web process and the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.ledger import events
from tests.support.processes import CANARY, Running
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

# Names from outside that would forge a line, a field, or steer a terminal.
HOSTILE = "s\r\n2026-01-01T00:00:00.000Z info    accepted event_id=evt_forged \x1b]0;title\x07 \u202e level=error"


def lines_about(log: str, event: str) -> list[dict[str, Any]]:
    """The lines of a JSON log that tell of one event."""
    found = [json.loads(line) for line in log.splitlines()]
    return [line for line in found if line.get("event_id") == event]


@pytest.fixture
def processes(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess
) -> tuple[Running, Running]:
    """Both processes, with JSON logs."""
    settings = {"HILOOP_LOG_FORMAT": "json"}
    return web_of(redis_server.url, settings), worker_of(redis_server.url, settings)


def test_an_event_is_followed_through_both_processes(processes: tuple[Running, Running], tmp_path: Path) -> None:
    web, worker = processes
    fields = {"agentName": "deploy-bot", "deliveryId": "dlv_7"}
    assert post(web.port, answer({"do": "fail first"}, event_id="evt_1", session_id="s-1", **fields)).status == 202
    assert post(web.port, answer({"do": "fail"}, event_id="evt_2", session_id="s-2", **fields)).status == 202
    wait_until(lambda: "dead letter" in worker.log and events(tmp_path, "done"))
    assert post(web.port, answer({"do": "fail first"}, event_id="evt_1", session_id="s-1", **fields)).status == 200

    accepted, duplicate = lines_about(web.log, "evt_1")
    assert (accepted["message"], duplicate["message"]) == ("accepted", "duplicate")
    assert accepted["verified_ms"] > 0 < accepted["queued_ms"]
    failed, handled = lines_about(worker.log, "evt_1")
    assert (failed["message"], failed["level"], failed["outcome"]) == ("failed", "warning", "retry")
    assert (handled["message"], handled["level"], handled["outcome"]) == ("handled", "info", "done")
    assert (failed["attempt"], handled["attempt"]) == (1, 2)
    assert failed["error"].startswith("RuntimeError at handlers.py:")
    for line in (accepted, duplicate, failed, handled):
        assert (line["session_id"], line["agent"], line["type"]) == ("s-1", "deploy-bot", "response.created")
    assert accepted["delivery_id"] == "dlv_7"
    assert failed["handler"] == handled["handler"] == "tests.support.handlers.act"

    *attempts, died = lines_about(worker.log, "evt_2")
    assert [(line["attempt"], line["outcome"]) for line in attempts] == [(1, "retry"), (2, "retry"), (3, "dead")]
    assert (died["message"], died["reason"], died["session_id"]) == ("dead letter", "handler_error", "s-2")
    names = {line["worker"] for line in [failed, handled, *attempts, died]}
    started = next(json.loads(line) for line in worker.log.splitlines() if '"started"' in line)
    assert names == {started["worker"]}
    assert CANARY not in worker.log


def test_names_from_outside_forge_nothing(
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    web_of: StartProcess,
    worker_of: StartProcess,
    tmp_path: Path,
) -> None:
    logs: list[str] = []
    for layout in ("text", "json"):
        web = web_of(redis_server.url, {"HILOOP_LOG_FORMAT": layout})
        worker = worker_of(redis_server.url, {"HILOOP_LOG_FORMAT": layout})
        event = f"evt_{layout}"
        body = answer({"do": "ok"}, event_id=event, session_id=HOSTILE, agentName=HOSTILE, deliveryId=HOSTILE)
        assert post(web.port, body).status == 202
        wait_until(lambda event=event: event in events(tmp_path, "done"))
        wait_until(lambda worker=worker: "handled" in worker.log)
        for running in (web, worker):
            assert running.log.replace("\n", "").isprintable()
            assert sum("evt_forged" in line for line in running.log.splitlines()) == 1
        logs.append(next(line for line in worker.log.splitlines() if "evt_forged" in line))
        worker.stop()
    text, as_json = logs
    assert ' event_id=evt_text type=response.created session_id="s\\\\r\\\\n2026-' in text
    assert json.loads(as_json)["session_id"].startswith("s\\r\\n2026-")
