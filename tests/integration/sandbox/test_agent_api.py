"""The agent's side of the API, over real HTTP."""

from __future__ import annotations

import base64
import threading
import uuid
from typing import Any

import httpx
import pytest

from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop, new_api_key
from tests.integration.sandbox.agent import APPROVAL, Agent

OTHER = KeyPair.from_private(bytes(range(32)))


def error_of(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthorized"),
        ({"X-API-Key": "nonsense"}, 401, "unauthorized"),
        ({"X-API-Key": new_api_key()}, 401, "unauthorized"),
        ({"X-API-Key": "hlp_prov_" + "a" * 64}, 403, "provisioning_key"),
        ({"X-API-Key": "THE KEY"}, 422, "invalid_request"),
        ({"X-API-Key": "THE KEY", "X-Hiloop": "n" * 129}, 422, "invalid_request"),
    ],
)
def test_who_calls_is_checked(shared: LocalHiloop, headers: dict[str, str], status: int, code: str) -> None:
    sent = {name: value.replace("THE KEY", shared.api_key) for name, value in headers.items()}
    answer = httpx.get(f"{shared.url}/v1/agent/sessions", headers=sent, trust_env=False)
    assert error_of(answer, status)["code"] == code


def test_an_agent_is_made_by_its_first_call_and_only_once(hiloop: LocalHiloop) -> None:
    first, again, other = Agent(hiloop, "a"), Agent(hiloop, "a"), Agent(hiloop, "b", publish=False)
    ids = [
        next(each for each in one.http.get("/keys").json()["items"] if each["name"] == "a")["participantId"]
        for one in (first, again)
    ]
    assert ids[0] == ids[1]
    assert [each["name"] for each in other.http.get("/keys").json()["items"]] == ["You"]
    session_id = first.new_session()
    assert error_of(other.http.get(f"/sessions/{session_id}"), 404)["code"] == "not_found"


def test_every_answer_has_its_own_request_id_and_strict_headers(agent: Agent) -> None:
    answers = [
        agent.http.get("/keys"),
        agent.http.get("/nothing"),
        agent.http.delete("/keys"),
        agent.http.get("/sessions"),
    ]
    assert [each.status_code for each in answers] == [200, 404, 405, 200]
    assert len({each.headers["X-Request-Id"] for each in answers}) == 4
    assert error_of(answers[1], 404)["code"] == "not_found"
    assert error_of(answers[2], 405)["code"] == "method_not_allowed"
    assert all(each.headers["Cache-Control"] == "no-store" for each in answers)


def test_a_session_is_what_was_sent(agent: Agent) -> None:
    session_id = str(uuid.uuid4())
    fields = ("encryptedTitle", "encryptedDescription", "encryptedMetadata")
    sealed = {name: agent.sealed(name, session_id, name) for name in fields}
    answer = agent.http.post("/sessions", json={"id": session_id, "priority": "critical", **sealed})
    assert answer.status_code == 201
    session = answer.json()
    assert session == agent.http.get(f"/sessions/{session_id}").json()
    assert {name: session[name] for name in fields} == sealed
    assert (session["id"], session["status"], session["priority"]) == (session_id, "Open", "Critical")
    assert (session["agentName"], session["closedAt"]) == ("deploy-bot", None)
    assert set(session) == {
        "id", "agentId", "agentName", "spaceId", "status", "priority", "createdAt", "updatedAt", "closedAt", *fields
    }  # fmt: skip


BAD_SESSIONS: list[tuple[str, dict[str, Any], str]] = [
    ("an id that is no UUID", {"id": "x"}, "id"),
    ("an id in upper case", {"id": "0B9F5AE0-7A3E-4C3E-8F0F-0B9F5AE07A3E"}, "id"),
    ("no id", {"id": None}, "id"),
    ("no title", {"encryptedTitle": None}, "encryptedTitle"),
    ("a title in plaintext", {"encryptedTitle": "Deploy?"}, "encryptedTitle"),
    ("an unknown priority", {"priority": "urgent"}, "priority"),
    ("a description in plaintext", {"encryptedDescription": "why"}, "encryptedDescription"),
]


@pytest.mark.parametrize(
    ("change", "field"), [case[1:] for case in BAD_SESSIONS], ids=[case[0] for case in BAD_SESSIONS]
)
def test_a_bad_session_is_refused_by_field(refused: Agent, change: dict[str, Any], field: str) -> None:
    session_id = str(uuid.uuid4())
    body = {"id": session_id, "encryptedTitle": refused.sealed("t", session_id, "encryptedTitle"), **change}
    error = error_of(refused.http.post("/sessions", json=body), 422)
    assert error["code"] == "invalid_request"
    assert [each["field"] for each in error["details"]] == [field]
    assert refused.http.get(f"/sessions/{session_id}").status_code == 404


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'{"a":1,"a":2}', "application/json", 400, "invalid_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b" " * 1_000_001, "application/json", 413, "payload_too_large"),
    ],
)
def test_a_bad_body_is_refused(refused: Agent, content: bytes, content_type: str, status: int, code: str) -> None:
    answer = refused.http.post("/sessions", content=content, headers={"Content-Type": content_type})
    assert error_of(answer, status)["code"] == code


def test_a_session_needs_a_published_key_and_a_new_id(hiloop: LocalHiloop) -> None:
    agent = Agent(hiloop, publish=False)
    session_id = str(uuid.uuid4())
    body = {"id": session_id, "encryptedTitle": agent.sealed("t", session_id, "encryptedTitle")}
    assert error_of(agent.http.post("/sessions", json=body), 422)["code"] == "agent_key_missing"
    agent.publish(agent.pair.public_key)
    assert agent.http.post("/sessions", json=body).status_code == 201
    assert error_of(agent.http.post("/sessions", json=body), 409)["code"] == "session_exists"


def test_what_is_not_sealed_for_everybody_is_refused(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    path = f"/sessions/{session_id}/messages"
    before = agent.message_body(session_id, content="hello")
    hiloop.human._api.call("PUT", "/human/api/keys", {"publicKey": base64.b64encode(OTHER.public_key).decode()})
    assert error_of(agent.http.post(path, json=before), 409)["code"] == "keys_changed"
    after = agent.message_body(session_id, content="hello")
    assert len(after["encryptedContent"]["wrappings"]) == 3
    assert agent.http.post(path, json=after).status_code == 201


def test_an_agents_older_key_stays_known_but_is_not_sealed_for(agent: Agent) -> None:
    answers = [agent.publish(key) for key in (OTHER.public_key, OTHER.public_key, agent.pair.public_key)]
    assert [each.status_code for each in answers] == [200, 200, 200]
    assert answers[0].json()["keyId"] == OTHER.key_id
    mine = [each["keyId"] for each in agent.http.get("/keys").json()["items"] if each["participantType"] == "Agent"]
    assert mine == [agent.pair.key_id]


@pytest.mark.parametrize("key", ["", "AAAA", base64.b64encode(bytes(32)).decode(), 7])
def test_a_bad_key_is_refused(refused: Agent, key: Any) -> None:
    assert error_of(refused.http.put("/keys", json={"publicKey": key}), 422)["details"][0]["field"] == "publicKey"


def test_a_message_is_what_was_sent(agent: Agent) -> None:
    session_id = agent.new_session(priority="low")
    body = agent.message_body(session_id, content="hi", components=APPROVAL, responseRequired=True, priority="High")
    answer = agent.http.post(f"/sessions/{session_id}/messages", json=body)
    assert answer.status_code == 201
    message = answer.json()
    assert {name: message[name] for name in body} == body
    assert (message["kind"], message["senderType"], message["sessionId"]) == ("message", "Agent", session_id)
    assert message["senderAgentId"] == agent.http.get(f"/sessions/{session_id}").json()["agentId"]
    assert agent.http.get(f"/sessions/{session_id}/timeline").json() == {"items": [message], "nextCursor": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "encryptedContent"),
        ({"encryptedContent": "hi"}, "encryptedContent"),
        ({"responseRequired": 1}, "responseRequired"),
    ],
)
def test_a_bad_message_is_refused(refused: Agent, body: dict[str, Any], field: str) -> None:
    session_id = refused.new_session()
    error = error_of(refused.http.post(f"/sessions/{session_id}/messages", json=body), 422)
    assert field in [each["field"] for each in error["details"]]


def test_closing_and_archiving(agent: Agent) -> None:
    session_id = agent.new_session()
    closed = agent.http.post(f"/sessions/{session_id}/close").json()
    assert closed["status"] == "Closed"
    assert closed["closedAt"] is not None
    assert agent.http.post(f"/sessions/{session_id}/close").json() == closed
    body = agent.message_body(session_id, content="hi")
    assert error_of(agent.http.post(f"/sessions/{session_id}/messages", json=body), 409)["code"] == "session_closed"
    assert agent.http.post(f"/sessions/{session_id}/archive").json()["status"] == "Archived"
    assert error_of(agent.http.post(f"/sessions/{session_id}/close"), 409)["code"] == "session_archived"


def test_participants_are_invited_and_known_ones_added(agent: Agent) -> None:
    session_id, other_id = agent.new_session(), agent.new_session()
    path = f"/sessions/{session_id}/participants"
    assert [each["type"] for each in agent.http.get(path).json()["items"]] == ["Human", "Agent"]
    invited = agent.http.post(path, json={"email": "ada@example.com"})
    assert invited.status_code == 201
    assert (invited.json()["name"], invited.json()["keys"]) == ("ada@example.com", [])
    assert agent.http.post(path, json={"email": "ada@example.com"}).status_code == 200
    added = agent.http.post(f"/sessions/{other_id}/participants", json={"participantId": invited.json()["id"]})
    assert added.status_code == 201
    assert error_of(agent.http.post(path, json={"participantId": str(uuid.uuid4())}), 404)["code"] == "not_found"
    for bad in ({}, {"email": "nobody"}, {"email": "a@b", "participantId": "x"}):
        error_of(agent.http.post(path, json=bad), 422)


def test_pages_stay_right_while_items_are_added(agent: Agent) -> None:
    made = [agent.new_session() for _ in range(5)]
    first = agent.http.get("/sessions", params={"limit": 2}).json()
    made.append(agent.new_session())
    second = agent.http.get("/sessions", params={"limit": 2, "cursor": first["nextCursor"]}).json()
    third = agent.http.get("/sessions", params={"limit": 2, "cursor": second["nextCursor"]}).json()
    seen = [each["id"] for page in (first, second, third) for each in page["items"]]
    assert seen == made[4::-1]
    assert third["nextCursor"] is None


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"cursor": "?"}, {"cursor": "YWJj"}]
)
def test_bad_paging_is_refused(refused: Agent, query: dict[str, str]) -> None:
    assert error_of(refused.http.get("/sessions", params=query), 422)["details"][0]["field"] in query


def test_an_idempotency_key_gives_the_same_answer_again(agent: Agent) -> None:
    session_id = agent.new_session()
    path, key = f"/sessions/{session_id}/messages", {"Idempotency-Key": "k1"}
    body = agent.message_body(session_id, content="once")
    first, second = (agent.http.post(path, json=body, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert len(agent.http.get(f"/sessions/{session_id}/timeline").json()["items"]) == 1
    other = agent.message_body(session_id, content="other")
    assert error_of(agent.http.post(path, json=other, headers=key), 422)["details"][0]["field"] == "Idempotency-Key"
    assert agent.http.post(path, json=other, headers={"Idempotency-Key": "k2"}).status_code == 201


def test_a_refused_request_can_be_mended_under_its_idempotency_key(agent: Agent) -> None:
    session_id = agent.new_session()
    path, key = f"/sessions/{session_id}/messages", {"Idempotency-Key": "k1"}
    error_of(agent.http.post(path, json={}, headers=key), 422)
    body = agent.message_body(session_id, content="mended")
    assert agent.http.post(path, json=body, headers=key).status_code == 201


def test_awaiting_returns_at_once_when_the_answer_is_there(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, message_id = agent.ask()
    assert agent.awaited(session_id, timeout=0) is None
    hiloop.human.answer("approve")
    response = agent.awaited(session_id)
    assert (response["kind"], response["messageId"], response["responderType"]) == ("response", message_id, "Human")
    assert agent.opened(response["encryptedResponse"], session_id, "encryptedResponse") == "approve"


def test_awaiting_is_woken_by_the_answer(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, message_id = agent.ask()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(agent.awaited(session_id, timeout=30)))
    thread.start()
    hiloop.human.answer("reject")
    thread.join(10)
    assert answers[0]["messageId"] == message_id


def test_awaiting_means_the_latest_required_message_or_one_that_is_named(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, first = agent.ask()
    hiloop.human.answer("approve")
    second = agent.send(session_id, components=APPROVAL, responseRequired=True)
    agent.send(session_id, content="by the way")
    assert agent.awaited(session_id, timeout=0) is None
    assert agent.awaited(session_id, timeout=0, after=first)["messageId"] == first
    assert agent.awaited(session_id, timeout=0, after=second) is None
    hiloop.human.answer("reject")
    assert agent.awaited(session_id, timeout=0)["messageId"] == second
    assert agent.awaited(session_id, timeout=0, after=second)["messageId"] == second
    assert agent.http.get(f"/sessions/{session_id}/await", params={"after": "x"}).status_code == 404
    assert agent.http.get(f"/sessions/{session_id}/await", params={"timeout": "31"}).status_code == 422


def test_stopping_lets_go_of_long_polls(endpoint: Any) -> None:
    answers: list[Any] = []
    with LocalHiloop() as hiloop:
        agent = Agent(hiloop)
        session_id, _ = agent.ask()
        with hiloop.admin.notices(5):
            thread = threading.Thread(target=lambda: answers.append(agent.awaited(session_id)))
            thread.start()
            while len(hiloop._sandbox.feed._subscribers) < 2:
                thread.join(0.01)
    thread.join(5)
    assert answers == [None]


def test_typing_is_told_and_kept_nowhere(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    with hiloop.human.notices(5) as notices:
        assert agent.http.post(f"/sessions/{session_id}/typing", json={"typing": True}).status_code == 204
        assert next(notices) == {"type": "typing", "sessionId": session_id, "typing": True}


def test_a_rate_limit_says_when_to_come_back() -> None:
    with LocalHiloop(rate_limit=2) as hiloop:
        agent = Agent(hiloop, publish=False)
        answers = [agent.http.get("/keys") for _ in range(4)]
    assert [each.status_code for each in answers[:2]] == [200, 200]
    assert error_of(answers[-1], 429)["code"] == "rate_limited"
    assert int(answers[-1].headers["Retry-After"]) >= 1
