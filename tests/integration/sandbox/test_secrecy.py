"""The sandbox never sees plaintext: neither its memory's records, its file, its logs nor its webhooks hold any."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import asdict
from pathlib import Path

import pytest

from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent
from tests.integration.sandbox.endpoint import Endpoint

CANARIES = {
    "title": "canary-title-7f3a",
    "content": "canary-content-7f3a",
    "label": "canary-label-7f3a",
    "action": "canary-action-7f3a",
    "said": "canary-said-7f3a",
    "form": "canary-form-7f3a",
}
BUTTONS = [{"type": "button_group", "data": {"buttons": [{"label": CANARIES["label"], "action": CANARIES["action"]}]}}]
FORM = [{"type": "qa", "data": {"questions": [{"id": "why", "type": "textarea"}]}}]


def test_no_plaintext_and_no_private_key_anywhere(
    tmp_path: Path, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "state.json"
    with LocalHiloop(
        webhook_url=endpoint.url, token="the-token-7f3a", secret="the-secret-7f3a", state_file=file
    ) as hiloop:
        agent = Agent(hiloop)
        session_id = agent.new_session(CANARIES["title"])
        agent.send(session_id, content=CANARIES["content"], components=BUTTONS)
        hiloop.human.answer(CANARIES["action"])
        hiloop.human.say(CANARIES["said"])
        agent.send(session_id, components=FORM)
        hiloop.human.answer_form({"why": CANARIES["form"]})
        guest = agent.http.post(f"/sessions/{session_id}/guest-tokens", json={"name": "Eve"}).json()["token"]
        hiloop.admin.wait_until_settled()
        memory = json.dumps(asdict(hiloop._sandbox.state))
        human_key = hiloop.human.pair.private_key
    delivered = b"\n".join(each.body for each in endpoint.received).decode()
    places = {"memory": memory, "file": file.read_text(), "log": caplog.text, "webhooks": delivered}

    assert "session.created" in memory
    assert "session.created" in delivered
    assert "attempt 1: 202" in caplog.text
    keys = [
        encode(key).decode().rstrip("=")
        for key in (human_key, agent.pair.private_key)
        for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b16encode)
    ]
    hidden = [*CANARIES.values(), *keys, hiloop.api_key, guest]
    assert [(name, each) for name, text in places.items() for each in hidden if each in text] == []
    for name in ("log", "webhooks"):
        assert "the-token" not in places[name]
        assert "the-secret" not in places[name]


def test_refusals_quote_nothing_that_was_sent(shared: LocalHiloop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    agent = Agent(shared)
    canary = "canary-refused-7f3a"
    bodies = (
        {"id": canary, "encryptedTitle": canary, "priority": canary},
        {"encryptedTitle": {"ciphertext": canary, "wrappings": [canary]}},
    )
    answers = [agent.http.post("/sessions", json=body) for body in bodies]
    answers.append(agent.http.post("/sessions", content=canary, headers={"Content-Type": "application/json"}))
    assert all(400 <= each.status_code < 500 and canary not in each.text for each in answers)
    logged = [each.getMessage() for each in caplog.records if not each.name.startswith(("httpx", "httpcore"))]
    assert canary not in "\n".join(logged)
