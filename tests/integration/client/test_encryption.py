"""End-to-end encryption without a word from the caller: what is sealed, for whom, and what happens to keys."""

from __future__ import annotations

import base64
import json
import logging
import os
from contextlib import closing
from typing import Any

import httpx
import pytest

from receiver.client import HiloopClient, button, button_group
from receiver.keyring import KeyPair
from receiver.sandbox.human import Human

API_KEY = "hlp_" + "5e" * 32


class Recording(httpx.HTTPTransport):
    """Sends for real, and remembers what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.sent.append(request)
        return super().handle_request(request)


def test_no_plaintext_leaves_the_process(hiloop: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire = Recording()
    with HiloopClient(API_KEY, "deploy-bot", base_url=hiloop.url, agent_keys=(), transport=wire) as client:
        session = client.create_session("SECRET title", description="SECRET description", metadata={"k": "SECRET"})
        client.send_message(session.id, "SECRET content", components=[{"type": "text", "data": {"content": "SECRET"}}])
        client.get_timeline(session.id)
    for request in wire.sent:
        assert b"SECRET" not in request.content
        assert "SECRET" not in str(request.url)
        assert request.headers["x-hiloop"] == "deploy-bot"
        assert request.headers["x-api-key"] == API_KEY
        assert ("idempotency-key" in request.headers) == (request.method == "POST")
    assert "SECRET" not in caplog.text
    assert API_KEY not in caplog.text
    # The key is published once, keys of participants are asked for once.
    paths = [request.url.path.replace(session.id, "ID") for request in wire.sent]
    assert paths == [
        "/v1/agent/keys",
        "/v1/agent/keys",
        "/v1/agent/sessions",
        "/v1/agent/sessions/ID/participants",
        "/v1/agent/sessions/ID/messages",
        "/v1/agent/sessions/ID/timeline",
    ]
    assert [request.method for request in wire.sent[:2]] == ["PUT", "GET"]


def test_new_device_of_the_human_is_sealed_for(client: Any, hiloop: Any) -> None:
    session = client.create_session("Deploy?")
    client.send_message(session.id, "Before")
    with closing(Human(hiloop.url)) as new_device:
        new_device.register()
        client.send_message(session.id, "After")
        client.create_session("Second")
        assert [message.content for message in new_device.messages(session.id)] == [None, "After"]
        assert [each.title for each in new_device.sessions()] == ["Second", None]


def test_new_participant_is_sealed_for(client: Any) -> None:
    session = client.create_session("Deploy?")
    client.send_message(session.id, "Before")
    colleague = client.acting_as("colleague")
    colleague_key = colleague.publish_key()
    own = {one.id for one in client.everything(client.list_participants(session.id))}
    colleague_id = colleague.create_session("x").agent_id
    assert colleague_id not in own
    client.add_participant(session.id, colleague_id)
    sent = client.send_message(session.id, "After")
    wrapped_for = {wrapping["recipientKeyId"] for wrapping in sent.raw["encryptedContent"]["wrappings"]}
    assert colleague_key in wrapped_for


def test_old_content_stays_readable_after_a_rotation(connect: Any, hiloop: Any, another_key: str) -> None:
    old = connect(hiloop.url)
    session = old.create_session("Sealed with the derived key")
    old.send_message(session.id, "Go?", response_required=True)
    hiloop.human.answer("yes", session.id)
    rotated = connect(hiloop.url, agent_keys=[another_key])
    assert rotated.get_session(session.id).title == "Sealed with the derived key"
    assert rotated.await_response(session.id).response == "yes"
    sent = rotated.send_message(session.id, "Sealed with the new key")
    assert sent.sender_key_id == KeyPair.from_base64(another_key).key_id
    # What the human seals from now on is for the new key.
    hiloop.human.say("Fine", session.id)
    assert rotated.get_timeline(session.id).items[-1].content == "Fine"


def test_keys_come_from_the_environment(
    connect: Any, hiloop: Any, another_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HILOOP_API_KEY", API_KEY)
    monkeypatch.setenv("HILOOP_BASE_URL", f"{hiloop.url}/v1/")
    monkeypatch.setenv("HILOOP_AGENT_KEYS", f"{another_key}, {base64.b64encode(os.urandom(32)).decode()}")
    client = connect(None, api_key=None, agent_keys=None)
    assert client.publish_key() == KeyPair.from_base64(another_key).key_id
    assert len(client.caller.keyring) == 3


def test_what_does_not_open_says_why_and_breaks_nothing(connect: Any, hiloop: Any) -> None:
    human, client = hiloop.human, connect(hiloop.url)
    session = client.create_session("Deploy?")
    path = f"/human/api/sessions/{session.id}/messages"
    client.send_message(session.id, "First")
    human.say("Second", session.id)
    of_another_field = human._sealed("Third", session.id, "encryptedTitle")
    human._api.call("POST", path, {"encryptedContent": of_another_field})
    human.say({"not": "text"}, session.id)
    items = client.get_timeline(session.id).items
    assert [(item.content, item.error) for item in items] == [
        ("First", None),
        ("Second", None),
        (None, "bad_ciphertext"),
        (None, "bad_envelope"),
    ]
    client.caller.keyring._pairs.clear()
    assert {item.error for item in client.get_timeline(session.id).items} == {"unknown_key"}
    assert (client.get_session(session.id).title, client.get_session(session.id).error) == (None, "unknown_key")


def test_builders_and_dictionaries_are_the_same_on_the_wire(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?")
    by_hand = {"label": "Approve", "action": "approve", "variant": "primary"}
    client.send_message(session.id, components=[{"type": "button_group", "data": {"buttons": [by_hand]}}])
    client.send_message(session.id, components=[button_group(button("Approve", "approve", "primary"))])
    written, built = (json.dumps(message.components) for message in human.messages(session.id))
    assert built == written
