"""A relay that is broken into, against a real web process and a real worker that trusts one human.

The relay knows the bearer token, the HMAC secret and the API key, sees every sealed answer and may send anything. None
of it reaches a handler as a decision of the human's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from receiver.client import HiloopClient, button, button_group
from receiver.embedded import EmbeddedRedis
from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop
from receiver.senders import TrustedSender
from receiver.testing import sealed_response, webhook_body
from tests.conftest import StartProcess
from tests.support.commands import run
from tests.support.ledger import events
from tests.support.processes import Running
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.wire import AGENT, API_KEY, HUMAN, SECRET, SESSION, TOKEN, answer, post


def as_text(pair: KeyPair) -> str:
    """A private key as `HILOOP_AGENT_KEYS` holds it."""
    return base64.b64encode(pair.private_key).decode()


AGENT_KEY = KeyPair.from_private(b"\x2a" * 32)
ADA = TrustedSender(HUMAN.key_id, "Ada", HUMAN.public_key)
SETTINGS = {"HILOOP_TRUSTED_SENDERS": ADA.entry, "HILOOP_AGENT_KEYS": as_text(AGENT_KEY)}
MALLORY = KeyPair.from_private(b"\x0d" * 32)


@pytest.fixture
def queue(scripts: Scripts, redis_server: EmbeddedRedis, worker_of: StartProcess) -> Scripts:
    """An empty queue, and a worker that trusts Ada and has a key of its own."""
    worker_of(redis_server.url, SETTINGS)
    return scripts


Send = Callable[..., None]


@pytest.fixture
def send(web: Running) -> Send:
    """Sends what the relay likes, with a good token and a good signature."""

    def send(body: dict[str, Any], **changes: Any) -> None:
        assert post(web.port, json.dumps({**body, **changes}).encode()).status == 202

    return send


def decided(what: str, event: str, session: str = SESSION) -> dict[str, Any]:
    """The event that brings Ada's genuine answer."""
    found: dict[str, Any] = json.loads(answer({"do": what}, event_id=event, session_id=session, agent=AGENT_KEY))
    return found


def reason(queue: Scripts, event: str) -> str | None:
    """Why the event has become a dead letter."""
    wait_until(lambda: queue.field(event, "status") in ("failed", "finished"), what=f"{event} is closed")
    return queue.field(event, "reason")


def test_a_genuine_answer_is_handled_and_only_once(queue: Scripts, send: Send, web: Running, tmp_path: Any) -> None:
    genuine = decided("ok", "evt_1")
    send(genuine)
    wait_until(lambda: events(tmp_path, "done") == ["evt_1"])
    assert post(web.port, json.dumps(genuine).encode()).status == 200, "under the same id it is a duplicate"
    send(genuine, id="evt_2", createdAt="2099-01-01T00:00:00Z")
    assert reason(queue, "evt_2") == "replayed_answer"
    assert "evt_1" in (queue.field("evt_2", "error") or "")
    assert events(tmp_path, "start") == ["evt_1"]


def test_an_answer_is_not_swapped_between_sessions(queue: Scripts, send: Send, tmp_path: Any) -> None:
    first, second = decided("ok", "evt_1", "session-1"), decided("fail", "evt_2", "session-2")
    send(first, data=second["data"])
    send(second, data=first["data"])
    assert (reason(queue, "evt_1"), reason(queue, "evt_2")) == ("bad_ciphertext", "bad_ciphertext")
    assert events(tmp_path, "start") == []


def test_an_old_approval_is_not_taken_again_by_a_replay_of_all_dead_letters(
    queue: Scripts, send: Send, redis_server: EmbeddedRedis, tmp_path: Any
) -> None:
    genuine = decided("ok", "evt_1")
    send(genuine)
    send(genuine, id="evt_2")
    assert reason(queue, "evt_2") == "replayed_answer"
    claims = int(queue.field("evt_2", "claims") or 0)
    assert run("events", "replay", "--all", "--yes", env={"REDIS_URL": redis_server.url}).code == 0
    wait_until(lambda: int(queue.field("evt_2", "claims") or 0) > claims)
    assert reason(queue, "evt_2") == "replayed_answer"
    assert events(tmp_path, "start") == ["evt_1"]


@pytest.mark.parametrize(
    "forger",
    [MALLORY, AGENT],
    ids=["the relay", "the key that the platform can derive"],
)
def test_a_sealed_approval_under_the_humans_metadata_is_refused_until_the_key_is_trusted(
    queue: Scripts, send: Send, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Any, forger: KeyPair
) -> None:
    data = sealed_response({"do": "ok"}, human=forger, agent=AGENT_KEY, session_id=SESSION)
    data["response"]["responderId"] = "ada"
    send(json.loads(webhook_body(data, session_id=SESSION, event_id="forged")))
    assert reason(queue, "forged") == "untrusted_sender"
    assert forger.key_id in (queue.field("forged", "error") or ""), "one can see whose key it was"
    assert events(tmp_path, "start") == []


def test_a_key_that_is_trusted_later_heals_by_a_replay(
    scripts: Scripts, send: Send, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Any
) -> None:
    first = worker_of(redis_server.url, {**SETTINGS, "HILOOP_TRUSTED_SENDERS": f"{MALLORY.key_id} = Mallory"})
    send(decided("ok", "evt_1"))
    assert reason(scripts, "evt_1") == "untrusted_sender"
    first.stop()
    both = f"{MALLORY.key_id} = Mallory, {ADA.entry}"
    worker_of(redis_server.url, {**SETTINGS, "HILOOP_TRUSTED_SENDERS": both})
    replayed = run("events", "replay", "--reason", "untrusted_sender", "--yes", env={"REDIS_URL": redis_server.url})
    assert replayed.code == 0
    wait_until(lambda: events(tmp_path, "done") == ["evt_1"])


RELABELLED: dict[str, tuple[dict[str, Any], str]] = {
    "as another type that has a handler": ({"type": "session.closed"}, "untrusted_sender"),
    "as a message": ({"type": "message.created"}, "untrusted_sender"),
    "as a type of the relay's own": ({"type": "deploy.approved"}, "untrusted_sender"),
    "for another session": ({"sessionId": "another-session"}, "bad_ciphertext"),
    "without its encryption": ({"data": {"response": {"response": {"do": "ok"}}}}, "untrusted_sender"),
}


@pytest.mark.parametrize(("labels", "expected"), RELABELLED.values(), ids=RELABELLED.keys())
def test_a_relabelled_answer_reaches_no_handler(
    queue: Scripts, send: Send, tmp_path: Any, labels: dict[str, Any], expected: str
) -> None:
    send(decided("ok", "evt_1"), **labels)
    assert reason(queue, "evt_1") == expected
    assert events(tmp_path, "start") == []


def test_an_answer_for_one_agent_reaches_no_handler_as_another_ones(
    scripts: Scripts, send: Send, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Any
) -> None:
    own = f"{as_text(AGENT_KEY)} = deploy-bot, {as_text(MALLORY)} = prod-bot"
    worker_of(redis_server.url, {**SETTINGS, "HILOOP_AGENT_KEYS": own})
    send(decided("ok", "evt_1"), agentName="prod-bot", agentId="prod")
    assert reason(scripts, "evt_1") == "unknown_key"
    send(decided("ok", "evt_2"))
    wait_until(lambda: events(tmp_path, "done") == ["evt_2"])


# The same with the whole platform: what a genuine human answers goes through, and names them.


@pytest.fixture
def hiloop(web: Running) -> Iterator[LocalHiloop]:
    url = f"http://127.0.0.1:{web.port}/webhooks/hiloop"
    with LocalHiloop(api_key=API_KEY, webhook_url=url, token=TOKEN, secret=SECRET, speed=1000) as hiloop:
        yield hiloop


def test_a_pinned_human_decides_and_is_named(
    scripts: Scripts, hiloop: LocalHiloop, redis_server: EmbeddedRedis, worker_of: StartProcess, tmp_path: Any
) -> None:
    platform = {"HILOOP_BASE_URL": hiloop.url, "HILOOP_AGENT_NAME": "deploy-bot"}
    agent = {"HILOOP_API_KEY": API_KEY, "HILOOP_AGENT_KEYS": SETTINGS["HILOOP_AGENT_KEYS"]}
    client = HiloopClient(API_KEY, "deploy-bot", base_url=hiloop.url, agent_keys=[AGENT_KEY])
    session = client.create_session(title="Deploy?")
    pinned = run("keys", "trust", session.id, "--yes", "--output", "json", env={**platform, **agent}).row
    (tmp_path / "named.py").write_text(
        "from workers import on_response\n"
        "@on_response(action='approve')\n"
        "def approved(event):\n"
        "    open('decided', 'w').write(f'{event.sender} {event.sender.key_id}')\n"
    )
    worker_of(
        redis_server.url,
        {
            **platform,
            **agent,
            "HILOOP_HANDLERS": "named",
            "HILOOP_TRUSTED_SENDERS": pinned["HILOOP_TRUSTED_SENDERS"],
        },
    )
    client.send_message(session.id, components=[button_group(button("Approve", "approve"))])
    hiloop.human.answer("approve", session.id)
    told = tmp_path / "decided"
    wait_until(lambda: told.exists() and told.read_text() != "")
    assert told.read_text() == f"{pinned['senders'][0]['name']} {hiloop.human.pair.key_id}"
    client.close()
