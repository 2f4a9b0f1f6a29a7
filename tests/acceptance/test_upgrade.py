"""What an older version has left in Redis, in whatever state, is worked off by this one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from receiver.embedded import EmbeddedRedis
from receiver.layout import Layout
from receiver.ledger import Ledger, Status
from receiver.stored import STATUSES, Filter
from tests.conftest import StartProcess
from tests.support.commands import run
from tests.support.ledger import entries, events
from tests.support.processes import SETTINGS
from tests.support.recorded import restore
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

RECORDINGS = sorted(Path(__file__).parents[1].glob("vectors/queue-*.json"))
# Seconds: longer than the pause before a retry, which a recording has in it.
AGE = 60.0
LEFT = {
    "retrying", "behind.the:retry", "in-flight", "behind-the-dead-worker", "replayed",
    "waiting-low", "waiting-normal", "waiting-high", "waiting-critical", "waiting-second",
}  # fmt: skip
SETTINGS_OF_WORKER = {
    "HILOOP_HANDLERS": "tests.support.recorded_handlers",
    "HILOOP_LEASE": "1s",
    "HILOOP_RETRIES": "0",
}


def left(status: Status) -> tuple[int, ...]:
    """How many events are in each state but the last ones."""
    return status.waiting, status.deferred, status.in_flight, status.retrying


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_events_of_an_older_version_are_worked_off(
    path: Path, own_redis: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess, tmp_path: Path
) -> None:
    with own_redis.client() as client:
        restore(client, path, age=AGE)
        ledger = Ledger(client, Layout())
        env = {**SETTINGS, "REDIS_URL": own_redis.url}
        found = {event.id for status in STATUSES for event in ledger.each(Filter(status=status))}
        assert found == LEFT | {"handled", "dead", "unreadable"}

        web = web_of(own_redis.url)
        (tmp_path / "gate").touch()
        worker = worker_of(own_redis.url, SETTINGS_OF_WORKER)
        wait_until(lambda: not any(left(ledger.status())), 20, "nothing is left")

    started = [entry for entry in entries(tmp_path) if entry.what == "start"]
    assert Counter(entry.event for entry in started) == Counter(LEFT - {"retrying"}), "each once; progress is kept"
    (followed,) = [entry for entry in entries(tmp_path) if entry.what == "follow"]
    assert (followed.event, followed.attempt) == ("retrying", 2)
    done = events(tmp_path, "done")
    for first, second in (("in-flight", "behind-the-dead-worker"), ("waiting-normal", "waiting-second")):
        assert done.index(first) < done.index(second)
    assert entries(tmp_path).index(followed) < [(one.what, one.event) for one in entries(tmp_path)].index(
        ("start", "behind.the:retry")
    )
    assert post(web.port, answer({"do": "ok"}, event_id="handled", session_id="s-1")).status == 200, "still known"

    dead = {row["id"]: row["reason"] for row in run("events", "list", "--output", "json", env=env).rows}
    assert dead == {"dead": "handler_error", "replayed": "handler_error", "unreadable": "unknown_key"}
    assert run("events", "replay", "dead", "--yes", env=env).code == 0
    wait_until(lambda: events(tmp_path, "start").count("dead") == 1, what="the dead letter runs again")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log + web.log


def test_there_is_a_recording() -> None:
    assert RECORDINGS
    assert all(json.loads(path.read_text())["keys"] for path in RECORDINGS)
