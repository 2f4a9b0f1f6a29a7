"""Calls without I/O: the steps they take are looked at instead of being waited for."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from receiver.client import Retries, deliveries, messages, sessions
from receiver.client.caller import Caller
from receiver.client.exchange import Answer, Call, Pause, Request
from receiver.client.listings import MAX_PAGES
from receiver.client.models import NoResponse, RetriedDeliveries
from receiver.errors import ConnectionFailed, HiloopError, MalformedAnswer
from receiver.keyring import KeyPair, Keyring, key_id

SESSION = "3f2b8d6e-0000-4000-8000-000000000000"
TIME = "2026-11-22T13:30:17.123Z"
PAIR = KeyPair.from_private(bytes(range(32)))


class Clock:
    """A monotonic clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def caller(clock: Callable[[], float] = lambda: 0.0) -> Caller:
    return Caller(
        name="bot",
        base_url="https://hiloop.example.com",
        api_key="hlp_" + "a1" * 32,
        all_keys=Keyring([PAIR]),
        timeout=30.0,
        retries=Retries(),
        clock=clock,
        random=lambda: 0.5,
    )


def ok(body: Any, **headers: str) -> Answer:
    return Answer(200, headers, json.dumps(body).encode())


def run(call: Call[Any], react: Callable[[Any], Answer | HiloopError | None]) -> Any:
    """Take the steps of ``call``; ``react`` gives each its result."""
    try:
        step = next(call)
        while True:
            result = react(step)
            step = call.throw(result) if isinstance(result, HiloopError) else call.send(result)
    except StopIteration as done:
        return done.value


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0.25),
        ({"retry-after": "7"}, 7.25),
        ({"retry-after": "0"}, 0.25),
        ({"retry-after": "soon"}, 0.25),
        ({"retry-after": "-5"}, 0.25),
        ({"retry-after": "1" * 400}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 13:30:27 GMT", "date": "Sun, 22 Nov 2026 13:30:17 GMT"}, 10.25),
        ({"retry-after": "Sun, 22 Nov 2026 13:30:07 GMT", "date": "Sun, 22 Nov 2026 13:30:17 GMT"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 13:30:27 GMT"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 13:30:27", "date": "Sun, 22 Nov 2026 13:30:17 GMT"}, 0.25),
    ],
)
def test_pause_before_the_next_try(headers: dict[str, str], pause: float) -> None:
    call = deliveries.get_webhook_delivery(caller(), "dlv_1")
    request = next(call)
    assert isinstance(request, Request)
    assert (request.method, request.path) == ("GET", "/v1/agent/webhook-deliveries/dlv_1")
    assert call.send(Answer(503, headers, b"")) == Pause(pause)
    assert next(call) == request


def test_polls_are_at_most_thirty_seconds_and_never_hurried() -> None:
    clock, polls, pauses = Clock(), [], []

    def react(step: Any) -> Answer | HiloopError | None:
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            clock.now += step.seconds
            return None
        if not step.path.endswith("/await"):
            return ok({"id": SESSION, "status": "Open", "createdAt": TIME})
        polls.append(int(step.query["timeout"]))
        assert step.timeout > polls[-1]
        # The first is answered at once, as by a server that is about to stop.
        clock.now += polls[-1] if len(polls) > 1 else 0.25
        return ok({"response": None})

    result = run(messages.await_response(caller(clock), SESSION, timeout=65, default="none"), react)
    assert result == NoResponse(SESSION, "timeout", "none")
    assert polls == [30, 30, 30, 4, 0]
    assert pauses == [0.75]


@pytest.mark.parametrize("status", ["Closed", "Archived"])
def test_end_of_the_session_ends_the_wait_after_one_last_look(status: str) -> None:
    asked = []

    def react(step: Any) -> Answer:
        asked.append((step.path.rsplit("/", 1)[1], step.query.get("timeout")))
        is_session = step.path.endswith(SESSION)
        return ok({"id": SESSION, "status": status, "createdAt": TIME} if is_session else {"response": None})

    result = run(messages.await_response(caller(), SESSION, default="none"), react)
    assert result == NoResponse(SESSION, "closed", "none")
    assert asked == [("await", "30"), (SESSION, None), ("await", "0")]


def test_wait_goes_through_an_outage_but_not_for_ever() -> None:
    clock = Clock()

    def react(step: Any) -> HiloopError | None:
        if isinstance(step, Pause):
            clock.now += step.seconds
            return None
        clock.now += 1
        return ConnectionFailed("down")

    with pytest.raises(ConnectionFailed):
        run(messages.await_response(caller(clock), SESSION), react)
    assert 290 < clock.now - 1000 < 310


def test_list_that_does_not_end_is_refused() -> None:
    count = iter(range(10_000))

    def react(_step: Any) -> Answer:
        return ok({"items": [], "nextCursor": str(next(count))})

    with pytest.raises(HiloopError, match=f"more than {MAX_PAGES} pages"):
        run(messages.get_timeline(caller(), SESSION), react)
    with pytest.raises(MalformedAnswer, match="leads to the same page"):
        run(messages.get_timeline(caller(), SESSION), lambda _: ok({"items": [], "nextCursor": "a"}))


def test_failed_deliveries_that_are_refused_are_noted() -> None:
    def react(step: Any) -> Answer:
        if step.method == "GET":
            items = [{"id": f"dlv_{n}", "status": "Failed", "attempts": 6, "createdAt": TIME} for n in range(3)]
            return ok({"items": items, "nextCursor": None})
        if "dlv_1" in step.path:
            return Answer(409, {}, b'{"error":{"code":"not_failed","message":"It was delivered."}}')
        delivery_id = step.path.split("/")[-2]
        return ok({"id": delivery_id, "status": "Pending", "attempts": 6, "createdAt": TIME})

    result = run(deliveries.retry_failed_deliveries(caller()), react)
    assert isinstance(result, RetriedDeliveries)
    assert [delivery.id for delivery in result.retried] == ["dlv_0", "dlv_2"]
    assert result.refused == {"dlv_1": "not_failed"}


def test_keys_that_keep_changing_end_in_an_error() -> None:
    sent = []

    def react(step: Any) -> Answer:
        sent.append(f"{step.method} {step.path}")
        if step.method == "PUT":
            return ok({"keyId": PAIR.key_id, "publicKey": "…"})
        if step.method == "GET":
            return ok({"items": [], "nextCursor": None})
        return Answer(409, {}, b'{"error":{"code":"keys_changed","message":"Seal again."}}')

    with pytest.raises(HiloopError) as caught:
        run(sessions.create_session(caller(), "Deploy?"), react)
    assert caught.value.code == "keys_changed"
    assert sent == ["PUT /v1/agent/keys", "GET /v1/agent/keys", "POST /v1/agent/sessions"] * 2


def test_public_keys_that_nothing_may_be_sealed_for_are_refused() -> None:
    def react(step: Any) -> Answer:
        if step.method == "PUT":
            return ok({"keyId": PAIR.key_id, "publicKey": "…"})
        key = {"keyId": key_id(bytes(32)), "publicKey": b64encode(bytes(32)).decode()}
        return ok({"items": [key], "nextCursor": None})

    with pytest.raises(MalformedAnswer, match="low order"):
        run(sessions.create_session(caller(), "Deploy?"), react)


def test_answer_about_another_session_is_refused() -> None:
    other = ok({"id": "other", "status": "Open", "createdAt": TIME})
    with pytest.raises(MalformedAnswer, match="another session"):
        run(sessions.get_session(caller(), SESSION), lambda _: other)


def test_unknown_kinds_of_items_are_kept() -> None:
    page = run(
        messages.get_timeline(caller(), SESSION),
        lambda _: ok({"items": [{"kind": "reaction", "emoji": "+1"}], "nextCursor": None}),
    )
    assert page.items[0].kind == "reaction"
    assert page.items[0].raw == {"kind": "reaction", "emoji": "+1"}
