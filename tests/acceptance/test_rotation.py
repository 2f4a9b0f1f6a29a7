"""Rotation without downtime: old and new side by side, in whatever order web and worker learn of it."""

from __future__ import annotations

import base64
import itertools
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from receiver.embedded import EmbeddedRedis
from receiver.keyring import KeyPair
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.senders import TrustedSender
from receiver.testing import sealed_response, webhook_body
from receiver.uses import name_of_secret
from tests.conftest import StartProcess
from tests.support.commands import run
from tests.support.ledger import events
from tests.support.processes import SETTINGS, Running
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.wire import AGENT, HUMAN, OLD_SECRET, OLD_TOKEN, SECRET, SESSION, TOKEN, answer, post

OLD = {"HILOOP_WEBHOOK_TOKEN": OLD_TOKEN, "HILOOP_WEBHOOK_SECRET": OLD_SECRET}
BOTH = {"HILOOP_WEBHOOK_TOKEN": f"{TOKEN},{OLD_TOKEN}", "HILOOP_WEBHOOK_SECRET": f"{SECRET},{OLD_SECRET}"}
NEW = {"HILOOP_WEBHOOK_TOKEN": TOKEN, "HILOOP_WEBHOOK_SECRET": SECRET}
ENDS_WELL = (0, -signal.SIGTERM)  # a worker says so; uvicorn passes the signal on
NEW_KEY = KeyPair.from_private(b"\x2a" * 32)
NEW_KEY_TEXT = base64.b64encode(NEW_KEY.private_key).decode()


class Operation:
    """A receiver in operation whose processes are restarted with other settings, one after the other."""

    def __init__(self, url: str, web_of: StartProcess, worker_of: StartProcess, folder: Path) -> None:
        self._url, self._starters, self.folder = url, {"web": web_of, "worker": worker_of}, folder
        self._running: dict[str, Running] = {}
        self._numbers = itertools.count()

    def restart(self, what: str, settings: Mapping[str, str]) -> None:
        """The new process is there before the old one goes, as on a platform."""
        before = self._running.get(what)
        self._running[what] = self._starters[what](self._url, settings)
        if before is not None:
            assert before.stop() in ENDS_WELL

    def send(self, token: str, secret: str, **options: Any) -> tuple[str, int]:
        """Send an answer as the platform does; returns its event id and the status."""
        event = f"evt_{next(self._numbers)}"
        body = answer({"do": "ok"}, event_id=event, session_id=event, **options)
        return event, post(self._running["web"].port, body, token=token, secret=secret).status

    def handles(self, token: str, secret: str, **options: Any) -> str:
        """Fails unless such an answer is accepted and handled now."""
        event, status = self.send(token, secret, **options)
        assert status == 202
        wait_until(lambda: event in events(self.folder, "done"), what=f"{event} is handled")
        return event


@pytest.fixture
def operation(own_redis: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess, tmp_path: Path) -> Operation:
    return Operation(own_redis.url, web_of, worker_of, tmp_path)


@pytest.fixture
def queue(own_redis: EmbeddedRedis) -> Iterator[Scripts]:
    """The queue of the operation. Other tests' web processes must not count into it."""
    with own_redis.client() as client:
        yield Scripts(client)


@pytest.mark.parametrize("order", [("web", "worker"), ("worker", "web")], ids=["web first", "worker first"])
def test_token_and_secret_are_rotated_without_a_refusal(operation: Operation, order: tuple[str, str]) -> None:
    for what in order:
        operation.restart(what, OLD)
    operation.handles(OLD_TOKEN, OLD_SECRET)
    for what in order:
        operation.restart(what, BOTH)
        operation.handles(OLD_TOKEN, OLD_SECRET)
    operation.handles(TOKEN, SECRET)
    operation.handles(TOKEN, OLD_SECRET)
    for what in order:
        operation.restart(what, NEW)
        operation.handles(TOKEN, SECRET)
    assert operation.send(OLD_TOKEN, SECRET)[1] == 401
    assert operation.send(TOKEN, OLD_SECRET)[1] == 401


def test_an_event_signed_before_its_secret_went_is_healed_when_the_secret_is_back(
    operation: Operation, queue: Scripts, own_redis: EmbeddedRedis
) -> None:
    operation.restart("web", BOTH)
    operation.restart("worker", NEW)
    event, status = operation.send(OLD_TOKEN, OLD_SECRET)
    assert status == 202
    wait_until(lambda: queue.field(event, "reason") == "unverifiable")
    operation.restart("worker", BOTH)
    assert run("events", "replay", "--reason", "unverifiable", "--yes", env={"REDIS_URL": own_redis.url}).code == 0
    wait_until(lambda: event in events(operation.folder, "done"))


def test_agent_keys_are_rotated(operation: Operation, queue: Scripts) -> None:
    operation.restart("web", BOTH)
    operation.restart("worker", {})
    operation.handles(TOKEN, SECRET, agent=AGENT)
    operation.restart("worker", {"HILOOP_AGENT_KEYS": NEW_KEY_TEXT})
    operation.handles(TOKEN, SECRET, agent=AGENT)
    operation.handles(TOKEN, SECRET, agent=NEW_KEY)
    uses = Ledger(queue.client, Layout())
    wait_until(lambda: {name: one.times for name, one in uses.uses().items() if name.startswith("key:")} == {
        f"key:{AGENT.key_id}": 1, f"key:{NEW_KEY.key_id}": 1,
    })  # fmt: skip


def test_trusted_senders_are_rotated(operation: Operation, queue: Scripts) -> None:
    new_device = KeyPair.from_private(b"\x0b" * 32)
    ada, ada_too = (TrustedSender(one.key_id, "Ada", one.public_key).entry for one in (HUMAN, new_device))
    operation.restart("web", BOTH)
    operation.restart("worker", {"HILOOP_TRUSTED_SENDERS": f"{ada}, {ada_too}"})
    operation.handles(TOKEN, SECRET)
    data = sealed_response({"do": "ok"}, human=new_device, agent=AGENT, session_id=SESSION)
    body = webhook_body(data, session_id=SESSION, event_id="new-device")
    assert post(operation._running["web"].port, body).status == 202
    wait_until(lambda: "new-device" in events(operation.folder, "done"))
    assert "can derive the agent's key" in operation._running["worker"].log
    names = {f"sender:{HUMAN.key_id}": 1, f"sender:{new_device.key_id}": 1}
    uses = Ledger(queue.client, Layout())
    wait_until(lambda: {name: one.times for name, one in uses.uses().items() if name.startswith("sender:")} == names)


def test_one_sees_which_was_used_and_doctor_says_when_the_old_one_can_go(
    operation: Operation, queue: Scripts, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    operation.restart("web", BOTH)
    operation.restart("worker", BOTH)
    for token, secret in ((TOKEN, SECRET), (OLD_TOKEN, SECRET), (TOKEN, OLD_SECRET)):
        operation.handles(token, secret)
    ledger = Ledger(queue.client, Layout())
    names = [
        name_of_secret(kind, secret.encode())
        for kind, secrets in (("token", (TOKEN, OLD_TOKEN)), ("secret", (SECRET, OLD_SECRET)))
        for secret in secrets
    ]
    expected = dict(zip(names, (2, 1, 2, 1), strict=True))
    wait_until(lambda: {name: use.times for name, use in ledger.uses().items()} == expected)
    assert f"in use name={names[1]}" in operation._running["web"].log

    def findings() -> dict[str, str]:
        found = run("doctor", "--output", "json", env={**SETTINGS, "REDIS_URL": own_redis.url}).rows
        return {row["what"].split(":")[0]: row["level"] for row in found if row["what"].startswith("old ")}

    old_token, old_secret = (f"old {name.replace(':', ' ')}" for name in (names[1], names[3]))
    assert findings() == {old_token: "ok", old_secret: "ok"}
    key = Layout().own("used")
    queue.client.hset(key, f"{names[1]}:last", 1)
    assert findings() == {old_token: "warning", old_secret: "ok"}
    kept = json.dumps([text.decode() for pair in queue.client.hgetall(key).items() for text in pair])
    assert not any(secret in kept for secret in (TOKEN, OLD_TOKEN, SECRET, OLD_SECRET))


def test_what_is_counted_at_the_end_of_a_process_is_not_lost(operation: Operation, queue: Scripts) -> None:
    operation.restart("web", BOTH)
    assert operation.send(OLD_TOKEN, SECRET)[1] == 202
    assert operation._running["web"].stop() in ENDS_WELL
    uses = Ledger(queue.client, Layout()).uses()
    assert uses[name_of_secret("token", OLD_TOKEN.encode())].times == 1


def test_redis_that_is_away_costs_no_count(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url, BOTH)
    own_redis.kill()
    for number in range(3):
        body = answer("ok", event_id=f"evt_{number}")
        assert post(web.port, body, token=OLD_TOKEN).status == 503
    own_redis.start()
    name = name_of_secret("token", OLD_TOKEN.encode())
    with own_redis.client() as client:
        wait_until(lambda: (use := Ledger(client, Layout()).uses().get(name)) and use.times == 3)
