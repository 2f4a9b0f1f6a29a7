"""The receiver is away until the platform has given up; back again, workers find what is missing by themselves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from receiver.client import HiloopClient, button, button_group
from receiver.embedded import EmbeddedRedis, free_port
from receiver.sandbox.harness import LocalHiloop
from tests.conftest import StartProcess
from tests.support.ledger import events
from tests.support.waiting import wait_until
from tests.support.wire import API_KEY, SECRET, TOKEN

AGENT = "deploy-bot"
SESSIONS = 5


def test_every_event_of_an_outage_is_handled_once(
    own_redis: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"PORT": str(port)}
    url = f"http://127.0.0.1:{port}/webhooks/hiloop"
    with LocalHiloop(
        webhook_url=url, token=TOKEN, secret=SECRET, api_key=API_KEY, speed=100_000.0, auto="approve"
    ) as hiloop:
        worker_settings = {
            "HILOOP_BASE_URL": hiloop.url,
            "HILOOP_AGENT_NAME": AGENT,
            "HILOOP_RECONCILE": "1s",
        }
        web, worker = web_of(own_redis.url, settings), worker_of(own_redis.url, worker_settings)
        with HiloopClient(API_KEY, AGENT, base_url=hiloop.url) as client:

            def ask() -> None:
                session = client.create_session(title="Deploy?")
                question = [button_group(button("Yes", "approve"))]
                client.send_message(session.id, components=question)

            ask()
            wait_until(lambda: len(events(tmp_path, "done")) == 1, 20, "an answer is handled before the outage")
            web.stop()
            worker.stop()
            for _ in range(SESSIONS):
                ask()
            wait_until(
                lambda: (stats := hiloop.admin.stats())["failed"] >= 2 * SESSIONS and stats["pending"] == 0,
                30,
                "the platform has given up",
            )
        web, worker = web_of(own_redis.url, settings), worker_of(own_redis.url, worker_settings)
        wait_until(lambda: len(set(events(tmp_path, "done"))) == SESSIONS + 1, 30, "every answer is handled")
        wait_until(lambda: hiloop.admin.stats()["failed"] == 0, 20, "nothing is missing any more")
        assert set(Counter(events(tmp_path, "done")).values()) == {1}
    assert worker.stop() == 0
    assert worker.defects + web.defects == []
