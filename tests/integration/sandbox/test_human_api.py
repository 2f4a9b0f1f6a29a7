"""The human's side of the API: who may call it, guests, the page's files, and the news."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from receiver.envelope import seal
from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent

GUEST = KeyPair.from_private(bytes(range(1, 33)))


def test_sessions_are_listed_by_priority_then_newest(hiloop: LocalHiloop, agent: Agent) -> None:
    made = [(agent.new_session(priority=each), each) for each in ("Low", "High", "Normal", "High", "Critical")]
    seen = [(each.id, each.priority) for each in hiloop.human.sessions()]
    assert seen == [made[4], made[3], made[1], made[2], made[0]]


def test_a_session_waits_while_a_message_requires_a_response(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    waiting = lambda: next(each.waiting for each in hiloop.human.sessions())  # noqa: E731  # short, and asked three times
    assert not waiting()
    agent.send(session_id, content="?", responseRequired=True)
    assert waiting()
    hiloop.human.answer("yes")
    assert not waiting()


def test_the_agents_current_key_comes_with_the_session(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    session = hiloop.human._api.call("GET", f"/human/api/sessions/{session_id}")
    assert [each["keyId"] for each in session["agentKeys"]] == [agent.pair.key_id]


def test_the_first_answer_counts(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, message_id = agent.ask()
    hiloop.human.answer("approve")
    sealed = agent.sealed("reject", session_id, "encryptedResponse")
    answer = httpx.post(
        f"{hiloop.url}/human/api/sessions/{session_id}/responses",
        json={"messageId": message_id, "encryptedResponse": sealed},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_answered")


def test_only_an_agents_message_can_be_answered(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    hiloop.human.say("hello?")
    (mine,) = hiloop.human.messages(session_id)
    body = {"messageId": mine.id, "encryptedResponse": agent.sealed("x", session_id, "encryptedResponse")}
    url = f"{hiloop.url}/human/api/sessions/{session_id}/responses"
    assert httpx.post(url, json=body, trust_env=False).status_code == 404


def test_the_news_tell_types_and_sessions_only(hiloop: LocalHiloop, agent: Agent) -> None:
    hiloop.admin.add_webhook("http://127.0.0.1:9/")  # its deliveries are the admin's business
    with hiloop.human.notices(10) as notices:
        session_id, _ = agent.ask()
        hiloop.human.answer("approve")
        hiloop.human.close_session(session_id)
        seen = [next(notices) for _ in range(4)]
    kinds = ["session.created", "message.created", "response.created", "session.closed"]
    assert seen == [{"type": kind, "sessionId": session_id} for kind in kinds]


def test_a_guest_sees_one_session_and_answers_in_it(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, other_id = agent.new_session(), agent.new_session()
    invited = agent.http.post(f"/sessions/{session_id}/guest-tokens", json={"name": "Eve", "expiresIn": 3600})
    assert invited.status_code == 201
    token = invited.json()["token"]
    assert invited.json()["url"] == f"{hiloop.url}/#guest={token}"
    with httpx.Client(
        base_url=f"{hiloop.url}/human/api", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    ) as guest:
        me = guest.put("/keys", json={"publicKey": base64.b64encode(GUEST.public_key).decode()})
        assert me.status_code == 200
        assert (guest.get("/me").json()["name"], guest.get("/me").json()["type"]) == ("Eve", "Guest")
        assert [each["id"] for each in guest.get("/sessions").json()["items"]] == [session_id]
        assert guest.get(f"/sessions/{other_id}").status_code == 404
        people = guest.get(f"/sessions/{session_id}/participants").json()["items"]
        keys = [base64.b64decode(key["publicKey"]) for each in people for key in each["keys"]]
        message_id = agent.http.post(
            f"/sessions/{session_id}/messages",
            json={"encryptedContent": agent.sealed("?", session_id, "encryptedContent", keys)},
        ).json()["id"]
        sealed = seal(b'"fine"', sender=GUEST, recipients=keys, session_id=session_id, field_name="encryptedResponse")
        answered = guest.post(
            f"/sessions/{session_id}/responses", json={"messageId": message_id, "encryptedResponse": sealed}
        )
        assert answered.json()["responderType"] == "Guest"
    assert agent.opened(agent.awaited(session_id)["encryptedResponse"], session_id, "encryptedResponse") == "fine"


@pytest.mark.parametrize("authorization", ["Bearer", "bearer gst_unknown"])
def test_a_wrong_guest_token_is_refused(shared: LocalHiloop, authorization: str) -> None:
    headers = {"Authorization": authorization}
    assert httpx.get(f"{shared.url}/human/api/me", headers=headers, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "https://evil.example"}, "forbidden_origin"),
        ({"Origin": "null"}, "forbidden_origin"),
        ({"Host": "evil.example"}, "forbidden_host"),
        ({"Host": "[::1"}, "forbidden_host"),
    ],
)
@pytest.mark.parametrize("path", ["/human/api/me", "/admin/api/webhooks"])
def test_other_sites_cannot_act_as_the_human(
    shared: LocalHiloop, path: str, headers: dict[str, str], code: str
) -> None:
    answer = httpx.get(f"{shared.url}{path}", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    assert "X-Request-Id" in answer.headers


def test_the_sandboxs_own_page_may_call(shared: LocalHiloop) -> None:
    localhost = f"localhost:{shared.port}"
    for headers in ({"Origin": shared.url}, {"Host": localhost, "Origin": f"http://{localhost}"}):
        assert httpx.get(f"{shared.url}/human/api/me", headers=headers, trust_env=False).status_code == 200


def test_the_page_is_served_strictly(shared: LocalHiloop) -> None:
    answer = httpx.get(shared.url, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert httpx.get(f"{shared.url}/../app.py", trust_env=False).status_code == 404
    assert httpx.get(f"{shared.url}/healthz", trust_env=False).json()["status"] == "ok"


@pytest.mark.parametrize("timeout", ["-1", "x", "1e9", "90000", "nan"])
def test_a_bad_timeout_is_refused(shared: LocalHiloop, timeout: str) -> None:
    query: Any = {"timeout": timeout}
    assert httpx.get(f"{shared.url}/human/api/events", params=query, trust_env=False).status_code == 422
