"""Deliveries to real endpoints: signed, in order, retried, and broken on demand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent
from tests.integration.sandbox.endpoint import Endpoint, serving

TOKEN, SECRET = "test-token", "test-secret"


@pytest.fixture
def webhook(hiloop: LocalHiloop, endpoint: Endpoint) -> str:
    """The id of a webhook that covers everything."""
    return str(hiloop.admin.add_webhook(endpoint.url, token=TOKEN, secret=SECRET)["id"])


@pytest.fixture
def other_endpoint() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint


def settled(hiloop: LocalHiloop, timeout: float = 10) -> Any:
    """The only delivery, once nothing is pending."""
    (delivery,) = hiloop.admin.wait_until_settled(timeout=timeout)
    return delivery


def test_a_delivery_is_what_the_contract_says(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    session_id, message_id = agent.ask(priority="High")
    hiloop.human.answer("approve")
    request = endpoint.wait_for(2)[1]
    assert request.verifies(TOKEN, SECRET)
    assert not request.verifies(TOKEN, "other")
    assert request.headers["Content-Type"] == "application/json"
    event = request.event
    session = agent.http.get(f"/sessions/{session_id}").json()
    delivery = hiloop.admin.wait_until_settled()[0]
    response = event["data"].pop("response")
    assert event == {
        "id": delivery["eventId"],
        "type": "response.created",
        "createdAt": event["createdAt"],
        "deliveryId": delivery["id"],
        "attempt": 1,
        "spaceId": session["spaceId"],
        "agentId": session["agentId"],
        "agentName": "deploy-bot",
        "sessionId": session_id,
        "priority": "High",
        "data": {},
    }
    assert event["id"].startswith("evt_")
    assert delivery["id"].startswith("dlv_")
    assert set(response) == {"id", "messageId", "responderType", "responderId", "encryptedResponse"}
    assert (response["messageId"], response["responderType"]) == (message_id, "Human")
    assert agent.opened(response["encryptedResponse"], session_id, "encryptedResponse") == "approve"


def test_every_type_is_sent_in_order(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    session_id, _ = agent.ask()
    hiloop.human.say("wait", session_id)
    hiloop.human.answer("approve")
    agent.http.post(f"/sessions/{session_id}/participants", json={"email": "ada@example.com"})
    hiloop.human.close_session(session_id)
    agent.http.post(f"/sessions/{session_id}/archive")
    hiloop.admin.wait_until_settled()
    assert endpoint.types() == [
        "session.created",
        "message.created",
        "response.created",
        "participant.added",
        "session.closed",
        "session.archived",
    ]
    said = endpoint.received[1].event["data"]["message"]
    assert agent.opened(said["encryptedContent"], session_id, "encryptedContent") == "wait"
    assert said["senderType"] == "Human"
    hiloop.admin.test_webhook(webhook)
    assert endpoint.wait_for(7)[-1].event["type"] == "webhook.test"


def test_a_session_is_one_line_while_others_go_on(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    endpoint.hold.clear()
    first, second = agent.new_session(), agent.new_session()
    endpoint.wait_for(2)
    agent.http.post(f"/sessions/{first}/close")
    agent.http.post(f"/sessions/{second}/close")
    assert {each.event["type"] for each in endpoint.received} == {"session.created"}
    endpoint.hold.set()
    hiloop.admin.wait_until_settled()
    for session_id in (first, second):
        of_session = [each.event["type"] for each in endpoint.received if each.event["sessionId"] == session_id]
        assert of_session == ["session.created", "session.closed"]


SCOPES: list[tuple[str, dict[str, Any], bool]] = [
    ("all", {}, True),
    ("this agent by name", {"agents": ["deploy-bot"]}, True),
    ("another agent", {"agents": ["other"]}, False),
    ("another space", {"spaces": ["other"]}, False),
    ("this type", {"event_types": ["session.created"]}, True),
    ("another type", {"event_types": ["response.created"]}, False),
]


@pytest.mark.parametrize(("scope", "covered"), [case[1:] for case in SCOPES], ids=[case[0] for case in SCOPES])
def test_a_webhook_gets_what_is_in_its_scope(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, scope: dict[str, Any], covered: bool
) -> None:
    hiloop.admin.add_webhook(endpoint.url, **scope)
    agent.new_session()
    assert len(hiloop.admin.wait_until_settled()) == len(endpoint.received) == int(covered)


def test_every_matching_endpoint_gets_the_event_with_its_own_secret(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, other_endpoint: Endpoint
) -> None:
    made = [hiloop.admin.add_webhook(each.url) for each in (endpoint, other_endpoint)]
    agent.new_session()
    requests = [each.wait_for(1)[0] for each in (endpoint, other_endpoint)]
    assert [request.verifies(each["token"], each["secret"]) for request, each in zip(requests, made, strict=True)] == [
        True,
        True,
    ]
    assert not requests[0].verifies(made[1]["token"], made[1]["secret"])
    assert requests[0].event["id"] == requests[1].event["id"]
    assert requests[0].event["deliveryId"] != requests[1].event["deliveryId"]


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_anything_but_2xx_is_retried_until_it_works(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str, status: int
) -> None:
    endpoint.statuses = [status, status]
    agent.new_session()
    delivery = settled(hiloop)
    assert (delivery["status"], delivery["attempts"], delivery["lastStatusCode"]) == ("Delivered", 3, 202)
    assert delivery["lastError"] is None
    events = [each.event for each in endpoint.received]
    assert [each["attempt"] for each in events] == [1, 2, 3]
    assert len({each["id"] for each in events}) == 1
    assert all(each.verifies(TOKEN, SECRET) for each in endpoint.received)


def test_after_the_last_retry_it_has_failed_and_retry_sends_again(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    endpoint.statuses = [500] * 6
    agent.new_session()
    delivery = settled(hiloop)
    assert (delivery["status"], delivery["attempts"], delivery["lastStatusCode"]) == ("Failed", 6, 500)
    assert (delivery["nextRetryAt"], delivery["deliveredAt"]) == (None, None)
    assert agent.http.get("/webhook-deliveries/stats").json()["successRate"] == 0
    retried = agent.http.post(f"/webhook-deliveries/{delivery['id']}/retry")
    assert (retried.status_code, retried.json()["status"]) == (202, "Pending")
    assert settled(hiloop)["status"] == "Delivered"
    assert endpoint.received[-1].event["attempt"] == 7


def test_the_schedule_is_the_published_one_and_time_can_be_sped_up_while_it_runs(
    agent: Agent, hiloop: LocalHiloop, endpoint: Endpoint, webhook: str
) -> None:
    hiloop.admin.set_speed(1)
    endpoint.statuses = [500]
    with hiloop.admin.notices(10) as notices:
        agent.new_session()
        failed = next(each["delivery"] for each in notices if each["type"] == "delivery.attempted")
    assert failed["status"] == "Pending"
    (pending,) = agent.http.get("/webhook-deliveries", params={"status": "Pending"}).json()["items"]
    assert pending["id"] == failed["id"]
    assert pending["nextRetryAt"] > pending["createdAt"]
    hiloop.admin.set_speed(1000)
    assert settled(hiloop)["attempts"] == 2


def test_a_retry_by_hand_does_not_wait(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_speed(0.001)
    endpoint.statuses = [500]
    with hiloop.admin.notices(10) as notices:
        agent.new_session()
        failed = next(each["delivery"] for each in notices if each["type"] == "delivery.attempted")
    agent.http.post(f"/webhook-deliveries/{failed['id']}/retry").raise_for_status()
    assert settled(hiloop)["status"] == "Delivered"


def test_statistics_are_true_and_of_the_agents_own_deliveries(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    empty = agent.http.get("/webhook-deliveries/stats").json()
    assert (empty["total"], empty["successRate"], empty["averageLatencyMs"]) == (0, None, None)
    hiloop.admin.set_faults(webhook, "dropx6")
    agent.new_session()
    hiloop.admin.wait_until_settled()
    other = Agent(hiloop, "other")
    for _ in range(3):
        other.new_session()
    hiloop.admin.wait_until_settled()
    mine, others, everything = (
        agent.http.get("/webhook-deliveries/stats").json(),
        other.http.get("/webhook-deliveries/stats").json(),
        hiloop.admin.stats(),
    )
    assert [each["total"] for each in (mine, others, everything)] == [1, 3, 4]
    assert [each["failed"] for each in (mine, others, everything)] == [1, 0, 1]
    assert [each["successRate"] for each in (mine, others, everything)] == [0, 1, 0.75]
    assert 0 < others["averageLatencyMs"] < 5000
    hidden = agent.http.get(f"/webhook-deliveries/{hiloop.admin.deliveries()[0]['id']}")
    assert hidden.status_code == 404


@pytest.mark.parametrize("query", [{"status": "Lost"}, {"status": "pending"}])
def test_an_unknown_status_is_refused(refused: Agent, query: dict[str, str]) -> None:
    assert refused.http.get("/webhook-deliveries", params=query).status_code == 422


def test_an_endpoint_that_is_not_there_fails_in_the_end(hiloop: LocalHiloop, agent: Agent) -> None:
    hiloop.admin.add_webhook("http://127.0.0.1:9/nothing")
    agent.new_session()
    delivery = settled(hiloop)
    assert (delivery["status"], delivery["lastStatusCode"]) == ("Failed", None)
    assert delivery["lastError"].startswith("could not be reached")


def test_an_endpoint_that_does_not_answer_is_given_up_and_tried_again(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    endpoint.hold.clear()
    agent.new_session()
    endpoint.wait_for(2)  # the first attempt has been given up after its time
    endpoint.hold.set()
    assert settled(hiloop)["status"] == "Delivered"


def test_fault_drop(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_faults(webhook, "dropx2")
    agent.new_session()
    assert settled(hiloop)["attempts"] == 3
    assert [each.event["attempt"] for each in endpoint.received] == [3]
    assert hiloop.admin.webhooks()[0]["faults"] == []


def test_fault_duplicate(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_faults(webhook, "duplicate")
    agent.new_session()
    first, second = endpoint.wait_for(2)
    assert first.body == second.body
    assert settled(hiloop)["attempts"] == 1


def test_fault_wrong_signature(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_faults(webhook, "wrong-signaturex1")
    endpoint.statuses = [401]
    agent.new_session()
    assert settled(hiloop)["attempts"] == 2
    assert [each.verifies(TOKEN, SECRET) for each in endpoint.received] == [False, True]


def test_fault_reorder(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_faults(webhook, "reorderx1")
    session_id = agent.new_session()
    agent.http.post(f"/sessions/{session_id}/close")
    agent.http.post(f"/sessions/{session_id}/archive")
    hiloop.admin.wait_until_settled()
    assert endpoint.types() == ["session.closed", "session.created", "session.archived"]


def test_fault_delay(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_speed(0.001)
    hiloop.admin.set_faults(webhook, "delay:5sx1")
    session_id = agent.new_session()
    other = agent.new_session()
    assert [each.event["sessionId"] for each in endpoint.wait_for(1)] == [other]
    hiloop.admin.set_speed(10_000)
    assert [each.event["sessionId"] for each in endpoint.wait_for(2)] == [other, session_id]


def test_fault_silence(hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str) -> None:
    hiloop.admin.set_faults(webhook, "silencex1")
    agent.new_session()
    delivery = settled(hiloop)
    assert (delivery["status"], delivery["attempts"]) == ("Delivered", 2)
    first, second = endpoint.wait_for(2)
    assert sorted([first.complete, second.complete]) == [False, True]
    assert len(first.body) != len(second.body)


def test_webhooks_are_managed_and_their_secrets_shown_once(hiloop: LocalHiloop, endpoint: Endpoint) -> None:
    admin = httpx.Client(base_url=f"{hiloop.url}/admin/api", trust_env=False)
    with admin:
        made = admin.post("/webhooks", json={"url": endpoint.url, "description": "mine"}).json()
        assert len(made["token"]) >= 32
        assert len(made["secret"]) >= 32
        listed = admin.get("/webhooks").text
        assert made["token"] not in listed
        assert made["secret"] not in listed
        path = f"/webhooks/{made['id']}"
        changed = admin.patch(path, json={"enabled": False, "scope": {"eventTypes": ["a"]}, "secret": "new"}).json()
        assert changed == {**admin.get(path).json(), "enabled": False}
        assert changed["scope"] == {"spaces": [], "agents": [], "eventTypes": ["a"]}
        assert admin.post(f"{path}/test").status_code == 202
        assert endpoint.wait_for(1)[0].verifies(made["token"], "new")
        assert admin.delete(path).status_code == 204
        assert admin.get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://127.0.0.1/"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"url": "http://xn--/"}, "url"),
        ({"url": "http:///path"}, "url"),
        ({"url": "http://a/", "token": "a b"}, "token"),
        ({"url": "http://a/", "token": "é"}, "token"),
        ({"url": "http://a/", "scope": []}, None),
        ({"url": "http://a/", "scope": [1]}, "scope"),
        ({"url": "http://a/", "scope": {"agents": "x"}}, "agents"),
        ({"url": "http://a/", "faults": [{"kind": "explode"}]}, "faults"),
        ({"url": "http://a/", "enabled": 1}, "enabled"),
    ],
)
def test_a_bad_webhook_is_refused(shared: LocalHiloop, body: dict[str, Any], field: str | None) -> None:
    answer = httpx.post(f"{shared.url}/admin/api/webhooks", json=body, trust_env=False)
    if field is None:
        assert answer.status_code == 201
    else:
        assert answer.status_code == 422
        assert answer.json()["error"]["details"][0]["field"] == field


def test_a_removed_webhook_gets_nothing_more(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    hiloop.admin.set_faults(webhook, "dropx1")
    hiloop.admin.set_speed(0.001)
    with hiloop.admin.notices(10) as notices:
        agent.new_session()
        next(each for each in notices if each["type"] == "delivery.attempted")
    hiloop.admin.remove_webhook(webhook)
    hiloop.admin.set_speed(10_000)
    assert (settled(hiloop)["status"], settled(hiloop)["lastError"]) == ("Failed", "the webhook was removed")
    assert endpoint.received == []


def test_many_sessions_are_delivered_in_order(
    hiloop: LocalHiloop, agent: Agent, endpoint: Endpoint, webhook: str
) -> None:
    hiloop.admin.set_faults(webhook, "duplicate@30%", "delay:1s@30%")
    sessions = [agent.new_session() for _ in range(5)]
    for session_id in sessions:
        for _ in range(4):
            hiloop.human.say("more", session_id)
    hiloop.admin.wait_until_settled()
    for session_id in sessions:
        ids = [each.event["id"] for each in endpoint.received if each.event["sessionId"] == session_id]
        assert len(set(ids)) == 5
        assert all(first <= second for first, second in pairwise(ids))  # ids sort by time, duplicates are adjacent
