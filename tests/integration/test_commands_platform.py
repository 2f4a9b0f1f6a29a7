"""The commands that ask the platform, as processes against a local Hiloop: `deliveries` and `reconcile`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from receiver.client import HiloopClient
from receiver.embedded import EmbeddedRedis, free_port
from receiver.sandbox.harness import LocalHiloop
from tests.conftest import StartProcess
from tests.support.commands import run
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, SECRET, TOKEN

AGENT = "deploy-bot"


@pytest.fixture
def port() -> int:
    """Where the receiver will listen, once it is there."""
    return free_port()


@pytest.fixture
def hiloop(port: int) -> Iterator[LocalHiloop]:
    """A platform that has given up: all its deliveries have failed."""
    url = f"http://127.0.0.1:{port}/webhooks/hiloop"
    with LocalHiloop(webhook_url=url, token=TOKEN, secret=SECRET, api_key=API_KEY, speed=100_000.0) as hiloop:
        with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:
            session = client.create_session(title="Deploy?")
            for _ in range(2):
                client.send_message(session.id, content="Deploy?")
            client.close_session(session.id)
        wait_until(lambda: hiloop.admin.stats()["total"] > 0 and hiloop.admin.stats()["pending"] == 0, 20)
        yield hiloop


@pytest.fixture
def env(hiloop: LocalHiloop, redis_server: EmbeddedRedis, redis_client: redis.Redis) -> dict[str, str]:
    """A command's environment."""
    return {
        "REDIS_URL": redis_server.url,
        "HILOOP_API_KEY": API_KEY,
        "HILOOP_BASE_URL": hiloop.url,
        "HILOOP_AGENT_NAME": AGENT,
    }


def test_deliveries_and_reconcile(
    env: dict[str, str], hiloop: LocalHiloop, port: int, web_of: StartProcess, redis_server: EmbeddedRedis
) -> None:
    failed = run("deliveries", "list", "--status", "Failed", "--output", "json", env=env).rows
    assert len(failed) == hiloop.admin.stats()["total"] > 0
    table = run("deliveries", "list", env=env)
    assert failed[0]["id"] in table.out
    shown = run("deliveries", "show", failed[0]["id"], env=env)
    assert "could not be reached" in shown.out
    assert run("deliveries", "stats", "--output", "json", env=env).row["failed"] == len(failed)
    assert "█" in run("deliveries", "stats", env=env).out

    looked = run("reconcile", "--since", "1h", "--dry-run", "--output", "json", env=env).row
    assert (looked["checked"], looked["left"], looked["asked"]) == (len(failed), len(failed), 0)

    web_of(redis_server.url, {"PORT": str(port)})
    first = run("deliveries", "retry", failed[0]["id"], "--yes", "--output", "json", env=env)
    assert (first.code, first.row["retried"]) == (0, [failed[0]["id"]])
    wait_until(lambda: hiloop.admin.stats()["delivered"] == 1)

    done = run("reconcile", "--since", "1h", "--output", "json", env=env)
    assert (done.code, done.row["complete"]) == (0, True)
    assert (done.row["known"], done.row["asked"], done.row["arrived"]) == (1, len(failed) - 1, len(failed) - 1)
    again = run("reconcile", "--since", "1h", "--output", "json", env=env).row
    assert (again["known"], again["asked"]) == (len(failed), 0)
    assert "arrived" in run("reconcile", env=env).out


def test_what_cannot_arrive_is_told_and_not_asked_for_again_at_once(env: dict[str, str]) -> None:
    first = run("reconcile", "--wait", "0", "--output", "json", env=env)
    assert (first.code, first.row["asked"] > 0, first.row["arrived"]) == (1, True, 0)
    again = run("reconcile", "--wait", "0", "--output", "json", env=env)
    assert (again.code, again.row["asked"], again.row["left"]) == (1, 0, first.row["asked"])


def test_what_only_others_got_is_not_missing_here(
    env: dict[str, str], hiloop: LocalHiloop, redis_server: EmbeddedRedis
) -> None:
    (ours,) = hiloop.admin.webhooks()
    theirs = hiloop.admin.add_webhook("http://127.0.0.1:9/theirs", secret="of-theirs", event_types=["session.archived"])
    with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:
        client.archive_session(client.list_sessions().items[0].id)
    hiloop.admin.wait_until_settled()
    looked = ("reconcile", "--dry-run", "--output", "json")
    every = run(*looked, env=env)
    assert (every.row["webhooks"], "--webhook" in every.err) == (2, True)
    mine = run(*looked, "--webhook", ours["id"], env=env)
    assert (mine.row["webhooks"], mine.row["left"], "--webhook" in mine.err) == (1, every.row["left"], False)
    others = run(*looked, env={**env, "HILOOP_WEBHOOK_ID": f"{theirs['id']}, none-such"})
    assert (others.row["webhooks"], others.row["checked"]) == (1, 1)
    hiloop.admin.remove_webhook(ours["id"])
    with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:
        client.archive_session(client.create_session(title="For them").id)
    hiloop.admin.wait_until_settled()
    again = run(*looked, "--webhook", ours["id"], env=env)
    assert again.row == mine.row, "what they alone got is not missing here"


def test_a_platform_that_wants_to_rest_is_left_alone(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path, worker_of: StartProcess
) -> None:
    options: Any = {"api_key": API_KEY, "state_file": tmp_path / "state", "speed": 100_000.0}
    with LocalHiloop(webhook_url="http://127.0.0.1:9/", token=TOKEN, secret=SECRET, **options) as hiloop:
        with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:
            for _ in range(3):
                client.create_session(title="Deploy?")
        hiloop.admin.wait_until_settled()
    env = {"REDIS_URL": redis_server.url, "HILOOP_API_KEY": API_KEY, "HILOOP_AGENT_NAME": AGENT}
    # One call, and the next one in 50 s: that is the list.
    with LocalHiloop(rate_limit=0.02, **options) as hiloop:
        stopped = run("reconcile", "--output", "json", env={**env, "HILOOP_BASE_URL": hiloop.url})
        assert (stopped.code, "rate_limited" in stopped.err) == (1, True)
        assert (stopped.row["stopped"], stopped.row["asked"], stopped.row["left"]) == ("rate_limited", 0, 3)
    with LocalHiloop(rate_limit=0.02, **options) as hiloop:
        settings = {"HILOOP_BASE_URL": hiloop.url, "HILOOP_AGENT_NAME": AGENT, "HILOOP_RECONCILE": "1h"}
        worker = worker_of(redis_server.url, settings)
        told = r"(compared with the platform|cannot be asked).*rate_limited"
        wait_until(lambda: re.search(told, worker.log), 20, "it tells why it stopped")
        wait_until(lambda: not redis_client.exists("hiloop:hiloop:reconciler"), what="it has given its lease back")
        assert worker.stop() == 0
    # Nothing was noted as asked for that was not: the next one asks at once.
    with LocalHiloop(**options) as hiloop:
        again = run("reconcile", "--wait", "0", "--output", "json", env={**env, "HILOOP_BASE_URL": hiloop.url})
        assert (again.row["asked"], again.row["left"], again.row["stopped"]) == (3, 0, "")


def test_exit_codes(env: dict[str, str]) -> None:
    assert run("deliveries", "show", "dlv_nobody", env=env).code == 3
    assert run("deliveries", "list", env={**env, "HILOOP_API_KEY": "hlp_" + "1" * 64}).code == 4
    assert run("deliveries", "list", env={**env, "HILOOP_API_KEY": "hlp_prov_x"}).code == 4
    assert run("deliveries", "list", env={**env, "HILOOP_BASE_URL": "http://127.0.0.1:1"}).code == 5
    assert run("deliveries", "list", env={**env, "HILOOP_AGENT_NAME": ""}).code == 2
    assert run("deliveries", "retry", env=env).code == 2
    assert run("deliveries", "retry", "--failed", env=env).code == 2, "nobody is there to be asked"
    assert run("reconcile", env={**env, "REDIS_URL": "redis://127.0.0.1:1/0"}).code == 5
