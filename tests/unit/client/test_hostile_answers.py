"""Whatever the API answers, a call gives a result or a `HiloopError`, never a `KeyError` from inside."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.client import HiloopError, Retries, deliveries, messages, sealing, sessions
from receiver.client.caller import Caller
from receiver.client.exchange import Answer, Call, Pause, Request, failure
from receiver.envelope import seal
from receiver.keyring import KeyPair, Keyring

SESSION = "3f2b8d6e-0000-4000-8000-000000000000"
TIME = "2026-11-22T13:30:17.123Z"
PAIR = KeyPair.from_private(bytes(range(32)))
KEY = {"keyId": PAIR.key_id, "publicKey": base64.b64encode(PAIR.public_key).decode()}


def sealed(field_name: str, value: Any) -> dict[str, Any]:
    return seal(
        json.dumps(value).encode(),
        sender=PAIR,
        recipients=[PAIR.public_key],
        session_id=SESSION,
        field_name=field_name,
    )


GOOD_SESSION = {
    "id": SESSION,
    "agentId": "a",
    "agentName": "bot",
    "spaceId": "s",
    "status": "Open",
    "priority": "High",
    "encryptedTitle": sealed("encryptedTitle", "Deploy?"),
    "encryptedDescription": None,
    "encryptedMetadata": sealed("encryptedMetadata", {"build": 7}),
    "createdAt": TIME,
    "updatedAt": TIME,
    "closedAt": None,
}
GOOD_MESSAGE = {
    "kind": "message",
    "id": "m1",
    "sessionId": SESSION,
    "senderType": "Agent",
    "senderAgentId": "a",
    "encryptedContent": sealed("encryptedContent", "Well?"),
    "encryptedComponents": sealed("encryptedComponents", [{"type": "text"}]),
    "responseRequired": True,
    "priority": "Normal",
    "createdAt": TIME,
}
GOOD_RESPONSE = {
    "kind": "response",
    "id": "r1",
    "sessionId": SESSION,
    "messageId": "m1",
    "responderType": "Human",
    "responderId": "h",
    "encryptedResponse": sealed("encryptedResponse", "approve"),
    "createdAt": TIME,
}
GOOD_DELIVERY = {
    "id": "dlv_1",
    "webhookId": "w",
    "eventId": "e",
    "eventType": "response.created",
    "sessionId": SESSION,
    "status": "Failed",
    "attempts": 6,
    "lastStatusCode": 500,
    "lastError": "x",
    "createdAt": TIME,
    "deliveredAt": None,
    "nextRetryAt": None,
}
GOOD_PARTICIPANT = {"id": "h", "type": "Human", "name": "Ada", "keys": [KEY], "joinedAt": TIME}


def listed(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "nextCursor": None}


# How a well-behaved API answers, by method and the end of the path.
GOOD: dict[str, Any] = {
    "GET sessions": listed(GOOD_SESSION),
    "POST sessions": GOOD_SESSION,
    f"GET {SESSION}": GOOD_SESSION,
    "POST close": GOOD_SESSION,
    "POST messages": GOOD_MESSAGE,
    "GET timeline": listed(GOOD_MESSAGE, GOOD_RESPONSE, {"kind": "reaction"}),
    "GET await": {"response": GOOD_RESPONSE},
    "GET participants": listed(GOOD_PARTICIPANT),
    "POST participants": GOOD_PARTICIPANT,
    "POST guest-tokens": {"id": "g", "token": "t", "url": "https://hiloop.example.com/#t", "expiresAt": TIME},
    "GET keys": listed({"participantId": "h", "participantType": "Human", "name": "Ada", **KEY}),
    "PUT keys": KEY,
    "GET webhook-deliveries": listed(GOOD_DELIVERY),
    "GET dlv_1": {**GOOD_DELIVERY, "payload": "{}", "signature": "sha256="},
    "POST retry": GOOD_DELIVERY,
    "GET stats": {
        "total": 1,
        "pending": 0,
        "delivered": 0,
        "failed": 1,
        "successRate": 0.0,
        "averageLatencyMs": None,
        "since": TIME,
    },
}
CALLS: dict[str, Callable[[Caller], Call[Any]]] = {
    "get_session": lambda each: sessions.get_session(each, SESSION),
    "list_sessions": sessions.list_sessions,
    "close_session": lambda each: sessions.close_session(each, SESSION),
    "list_participants": lambda each: sessions.list_participants(each, SESSION),
    "add_participant": lambda each: sessions.add_participant(each, SESSION, "h"),
    "create_guest_token": lambda each: sessions.create_guest_token(each, SESSION, "Ada"),
    "send_message": lambda each: messages.send_message(each, SESSION, "Well?"),
    "get_timeline": lambda each: messages.get_timeline(each, SESSION),
    "await_response": lambda each: messages.await_response(each, SESSION, timeout=0),
    "list_webhook_deliveries": deliveries.list_webhook_deliveries,
    "get_webhook_delivery": lambda each: deliveries.get_webhook_delivery(each, "dlv_1"),
    "get_webhook_delivery_stats": deliveries.get_webhook_delivery_stats,
    "retry_failed_deliveries": deliveries.retry_failed_deliveries,
    "publish_key": sealing.publish_key,
}

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["", "..", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "AAAA", 10**400, -1, [], {}, [[]], [{}]]
    ),
    st.sampled_from([GOOD_SESSION["encryptedTitle"], GOOD_RESPONSE["encryptedResponse"], KEY]),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) in a JSON value."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(child, dict | list):
            yield from places(child)


@st.composite
def bodies(draw: st.DrawFn, good: Any) -> bytes:
    """A good answer with some places gone or hostile."""
    body = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(body))
        if not known:
            break
        container, key = draw(st.sampled_from(known))
        if draw(st.booleans()):
            container[key] = copy.deepcopy(draw(HOSTILE))
        else:
            del container[key]
    return json.dumps(body).encode()


def caller() -> Caller:
    return Caller(
        name="bot",
        base_url="https://hiloop.example.com",
        api_key="hlp_" + "a1" * 32,
        all_keys=Keyring([PAIR]),
        timeout=30.0,
        retries=Retries(attempts=2),
        clock=lambda: 0.0,
    )


def run(call: Call[Any], answer: Callable[[Request], Answer]) -> Any:
    try:
        step = next(call)
        while True:
            step = call.send(None if isinstance(step, Pause) else answer(step))
    except StopIteration as done:
        return done.value


def good(request: Request) -> Any:
    return GOOD[f"{request.method} {request.path.rsplit('/', 1)[1]}"]


@pytest.mark.parametrize("name", CALLS)
def test_good_answers_are_understood(name: str) -> None:
    run(CALLS[name](caller()), lambda request: Answer(200, {}, json.dumps(good(request)).encode()))


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_hostile_answers_give_a_result_or_one_of_our_errors(name: str, data: Any) -> None:
    def answer(request: Request) -> Answer:
        return Answer(200, {}, data.draw(bodies(good(request))))

    try:
        result = run(CALLS[name](caller()), answer)
    except HiloopError:
        return
    assert repr(result)


@given(st.integers(300, 999), st.dictionaries(st.text(), st.text()), st.binary() | bodies({"error": {"code": "c"}}))
def test_every_failure_has_an_error(status: int, headers: dict[str, str], body: bytes) -> None:
    error = failure(Answer(status, headers, body))
    assert error.status == status
    assert error.message
    assert str(error).isprintable()
