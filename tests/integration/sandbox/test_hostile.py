"""Whatever is sent, the sandbox answers, refuses, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent

NAMES = ["id", "encryptedTitle", "encryptedContent", "encryptedResponse", "messageId", "priority", "publicKey", "url",
         "scope", "faults", "speed", "token", "name", "expiresIn", "email", "participantId", "typing", "ciphertext",
         "wrappings", "responseRequired", "agents"]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
CALLS = [
    ("PUT", "/v1/agent/keys"),
    ("POST", "/v1/agent/sessions"),
    *(
        ("POST", f"/v1/agent/sessions/SESSION/{what}")
        for what in ("messages", "participants", "guest-tokens", "typing")
    ),
    ("PUT", "/human/api/keys"),
    *(("POST", f"/human/api/sessions/SESSION/{what}") for what in ("messages", "responses")),
    ("POST", "/admin/api/webhooks"),
    ("PATCH", "/admin/api/webhooks/WEBHOOK"),
    ("PUT", "/admin/api/webhooks/WEBHOOK/faults"),
    ("PUT", "/admin/api/clock"),
]


@pytest.fixture(scope="module")
def target(shared: LocalHiloop) -> Iterator[tuple[httpx.Client, str, str]]:
    agent = Agent(shared)
    webhook = shared.admin.add_webhook("http://127.0.0.1:9/", event_types=["none"])
    headers = {"X-API-Key": shared.api_key, "X-Hiloop": "deploy-bot"}
    with httpx.Client(base_url=shared.url, headers=headers, trust_env=False) as client:
        yield client, agent.new_session(), webhook["id"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize(("method", "path"), CALLS)
@given(body=BODIES)
def test_no_body_breaks_it(target: tuple[httpx.Client, str, str], method: str, path: str, body: dict[str, Any]) -> None:
    client, session_id, webhook_id = target
    address = path.replace("SESSION", session_id).replace("WEBHOOK", webhook_id)
    answer = client.request(method, address, json=body)
    assert answer.status_code < 500
    if answer.is_error:
        assert set(answer.json()["error"]) >= {"code", "message"}
