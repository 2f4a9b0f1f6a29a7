"""The commands `events` and `status` as processes, on a real server with real failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.stored import Filter
from tests.conftest import StartProcess
from tests.support.commands import Ended, run
from tests.support.ledger import entries, events
from tests.support.processes import Running
from tests.support.waiting import wait_until
from tests.support.wire import answer, post
from workers.replay import Replays

CANARY = "canary-in-the-plaintext"
HOSTILE = "x\x1b[31m\r\nevil"


@pytest.fixture
def stored(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, web: Running, worker_of: StartProcess
) -> Iterator[dict[str, str]]:
    """Two dead letters, one handled event that came twice; gives a command's environment."""
    worker = worker_of(redis_server.url)
    for event, what, agent in (("evt_1", "fail", "a-bot"), ("evt_2", "ok", "b-bot"), ("evt_3", "fail", HOSTILE)):
        body = answer({"do": what}, event_id=event, session_id=f"s-{event}", agent_name=agent)
        assert post(web.port, body).status == 202
    assert post(web.port, body).status == 200
    wait_until(lambda: redis_client.zcard("rq:failed:hiloop") == 2 and redis_client.zcard("rq:finished:hiloop") == 1)
    yield {"REDIS_URL": redis_server.url}
    assert CANARY not in worker.log


def ids(ended: Ended) -> list[str]:
    """The ids that a list shows."""
    assert ended.code == 0, ended.err
    return [row["id"] for row in ended.rows]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["evt_1", "evt_3"]),
        (["--status", "handled"], ["evt_2"]),
        (["--agent", "a-*"], ["evt_1"]),
        (["--session", "s-evt_3"], ["evt_3"]),
        (["--reason", "timeout"], []),
        (["--handler", "*.act", "--type", "response.*", "--since", "1h"], ["evt_1", "evt_3"]),
        (["--until", "1h"], []),
        (["--status", "waiting"], []),
    ],
    ids=str,
)
def test_list_filters(stored: dict[str, str], arguments: list[str], found: list[str]) -> None:
    listed = run("events", "list", "--output", "json", *arguments, env=stored)
    assert sorted(ids(listed)) == found  # which one failed for good first is a matter of chance


def test_a_limit_is_told(stored: dict[str, str]) -> None:
    ended = run("events", "list", "--limit", "1", env=stored)
    assert (ended.out.count("s-evt_"), "--all" in ended.err) == (1, True)


def test_tables_and_details_show_no_content_and_steer_no_terminal(stored: dict[str, str]) -> None:
    table = run("events", "list", env=stored)
    assert "\x1b" not in table.out
    assert "evil" in table.out
    shown = run("events", "show", "evt_3", env=stored)
    assert "handler_error" in shown.out
    assert "1 times" in shown.out
    row = run("events", "show", "evt_3", "--output", "json", env=stored).row
    (handler,) = row["handlers"]
    assert (handler["state"], handler["tries"], handler["reason"]) == ("dead", 3, "handler_error")
    assert row["duplicates"] == 1
    assert [one["id"] for one in row["redeliveries"]] == [row["delivery"]]
    assert [one["outcome"] for one in handler["attempts"]] == ["handler_error"] * 3
    for moment in ("accepted", "came again", "attempt 1", "attempt 3", "failed"):
        assert moment in shown.out
    assert CANARY not in table.out + shown.out + str(row)


def test_what_is_not_there_and_what_is_wrong(stored: dict[str, str]) -> None:
    assert run("events", "show", "nobody", env=stored).code == 3
    assert run("events", "replay", "nobody", "--yes", env=stored).code == 3
    assert run("events", "replay", env=stored).code == 2
    assert run("events", "list", "--since", "yesterday", env=stored).code == 2
    assert run("events", "list", env={}).code == 2
    away = run("events", "list", env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    assert (away.code, "hint" in away.err) == (5, True)


def test_replay_shows_first_asks_and_puts_back(
    stored: dict[str, str], redis_client: redis.Redis, tmp_path: Path
) -> None:
    before = len(entries(tmp_path))
    looked = run("events", "replay", "--all", "--dry-run", "--output", "json", env=stored)
    assert ids(looked) == ["evt_1", "evt_3"]
    assert run("events", "replay", "--all", env=stored).code == 2, "nobody is there to be asked"
    assert len(entries(tmp_path)) == before
    done = run("events", "replay", "evt_1", "--yes", "--why", "mended", "--rate", "50", env=stored)
    assert (done.code, "1 put back" in done.out) == (0, True)
    wait_until(lambda: events(tmp_path, "start").count("evt_1") == 6)
    wait_until(lambda: redis_client.zcard("rq:failed:hiloop") == 2)
    assert run("events", "show", "evt_1", "--output", "json", env=stored).row["replay_reason"] == "mended"
    gone = run("events", "replay", "evt_2", "--yes", env=stored)
    assert (gone.code, "no body" in gone.err) == (1, True)


def test_discard(stored: dict[str, str], redis_client: redis.Redis) -> None:
    done = run("events", "discard", "--agent", "a-bot", "--yes", "--output", "json", env=stored)
    assert (done.code, done.row["done"]) == (0, 1)
    assert ids(run("events", "list", "--output", "json", env=stored)) == ["evt_3"]


def test_status_tells_how_it_is(stored: dict[str, str], redis_client: redis.Redis) -> None:
    wait_until(lambda: Ledger(redis_client, Layout()).status().latency_ms["p50"])
    row = run("status", "--output", "json", env=stored).row
    assert (row["dead"], row["kept"], row["waiting"], row["in_flight"]) == (2, 1, 0, 0)
    assert row["counters"]["duplicates"] == 1
    assert row["latency_ms"]["p50"] > 0
    assert (row["workers"][0]["state"], row["workers"][0]["concurrency"]) == ("idle", 100)
    text = run("status", env=stored).out
    assert "in flight" in text
    assert "p95" in text


def test_attempts_are_counted_by_handler(stored: dict[str, str], redis_client: redis.Redis) -> None:
    ledger = Ledger(redis_client, Layout())
    wait_until(lambda: sum(one.attempts for one in ledger.handlers().values()) == 7)
    for counts in (ledger.handlers(), ledger.handlers(minutes=5)):
        (one,) = counts.values()
        assert (one.outcomes["done"], one.outcomes["handler_error"], one.retried) == (1, 6, 4)
    assert ledger.dead_reasons() == {"handler_error": 2}


def test_the_python_api_limits_its_rate(stored: dict[str, str], redis_client: redis.Redis) -> None:
    slept: list[float] = []
    time = iter([100.0, 100.0, 100.0])

    replays = Replays(redis_client, Layout(), clock=lambda: next(time), sleep=slept.append)
    chosen = replays.select(Filter(status="failed"))
    outcome = replays.run(chosen, rate=2.0)
    assert (outcome.done, slept) == (2, [0.0, 0.5])
