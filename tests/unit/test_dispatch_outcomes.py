"""One handler, one outcome: a table of what handlers do and how their event closes."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.typing import EventDict

from receiver.client import AsyncHiloopClient, HiloopClient
from receiver.keyring import Keyring
from receiver.places import describe
from receiver.testing import new_key_pair, webhook_body
from tests.support.stage import NOW, Stage, until
from tests.support.wire import AGENT, SESSION, answer, signature
from workers import Discard, OpenedEvent, Registry, RetryLater

CANARY = "canary-in-the-plaintext"


def one_handler(function: Callable[..., Any], **options: Any) -> Registry:
    """A registry with one handler for answers."""
    registry = Registry()
    registry.on_response(**options)(function)
    return registry


async def fine(event: OpenedEvent) -> None: ...
async def fails(event: OpenedEvent) -> None:
    raise RuntimeError(CANARY)


async def later(event: OpenedEvent) -> None:
    raise RetryLater(30)


async def discards(event: OpenedEvent) -> None:
    raise Discard("not wanted")


async def exits(event: OpenedEvent) -> None:
    sys.exit(CANARY)


async def interrupts(event: OpenedEvent) -> None:
    raise KeyboardInterrupt


async def cancels(event: OpenedEvent) -> None:
    raise asyncio.CancelledError


async def cancels_itself(event: OpenedEvent) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def stops_iterating(event: OpenedEvent) -> None:
    raise StopAsyncIteration


def plain_fine(event: OpenedEvent) -> None: ...
def plain_fails(event: OpenedEvent) -> None:
    raise RuntimeError(CANARY)


def plain_later(event: OpenedEvent) -> None:
    raise RetryLater(30)


def plain_discards(event: OpenedEvent) -> None:
    raise Discard("not wanted")


def plain_exits(event: OpenedEvent) -> None:
    sys.exit(CANARY)


def plain_stops_iterating(event: OpenedEvent) -> None:
    raise StopIteration(CANARY)


def returns_a_coroutine(event: OpenedEvent) -> Any:
    return fails(event)


# handler, retries left → verb, reason, due
OUTCOMES: dict[str, tuple[Callable[..., Any], int, str, str, float | None]] = {
    "fine": (fine, 1, "done", "", None),
    "fails, retries left": (fails, 1, "retry", "", 2.0),
    "fails, no retries left": (fails, 0, "dead", "handler_error", None),
    "later, retries left": (later, 1, "retry", "", 30.0),
    "later, no retries left": (later, 0, "dead", "handler_error", None),
    "discards": (discards, 1, "done", "", None),
    "discards, no retries left": (discards, 0, "done", "", None),
    "exits": (exits, 0, "dead", "handler_error", None),
    "exits, retries left": (exits, 1, "retry", "", 2.0),
    "interrupts": (interrupts, 0, "dead", "handler_error", None),
    "raises CancelledError": (cancels, 0, "dead", "handler_error", None),
    "cancels itself": (cancels_itself, 0, "dead", "handler_error", None),
    "raises StopAsyncIteration": (stops_iterating, 0, "dead", "handler_error", None),
    "plain and fine": (plain_fine, 1, "done", "", None),
    "plain fails, retries left": (plain_fails, 1, "retry", "", 2.0),
    "plain fails, no retries left": (plain_fails, 0, "dead", "handler_error", None),
    "plain later": (plain_later, 1, "retry", "", 30.0),
    "plain discards": (plain_discards, 0, "done", "", None),
    "plain exits": (plain_exits, 0, "dead", "handler_error", None),
    "plain raises StopIteration": (plain_stops_iterating, 0, "dead", "handler_error", None),
    "plain returns a coroutine": (returns_a_coroutine, 0, "dead", "handler_error", None),
    "a partial of an async function": (functools.partial(fails), 0, "dead", "handler_error", None),
}


@pytest.mark.parametrize(("function", "retries", "verb", "reason", "due"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_outcomes(
    function: Callable[..., Any],
    retries: int,
    verb: str,
    reason: str,
    due: float | None,
    caplog: pytest.LogCaptureFixture,
    logged: list[EventDict],
) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage(one_handler(function), retries=retries)
    closing = asyncio.run(stage.finish(answer({"do": CANARY})))
    assert (closing.job_id, closing.execution_id, closing.verb, closing.reason) == (
        "job-1",
        "execution-of-job-1",
        verb,
        reason,
    )
    if due is None:
        assert closing.due == 0.0
    elif due == 30.0:
        assert closing.due == NOW + 30.0
    else:
        assert NOW <= closing.due <= NOW + due
    assert len(stage.closings) == 1
    assert CANARY not in repr(stage.closings)
    assert CANARY not in caplog.text + str(logged)
    assert (closing.error != "") == (verb == "dead")


def test_progress_goes_with_the_retry() -> None:
    stage = Stage(one_handler(fails), retries=2)
    closing = asyncio.run(stage.finish())
    ((name, (tries, due, state, ms, reason, attempts)),) = json.loads(closing.progress).items()
    assert attempts == [[int(NOW * 1000), round(ms, 1), "handler_error"]]
    assert name.endswith("fails")
    assert (tries, due, state, reason) == (1, closing.due, "pending", "handler_error")
    assert 0 < ms < 10_000


def test_tries_are_counted_until_none_is_left() -> None:
    seen: list[int] = []

    async def handler(event: OpenedEvent) -> None:
        seen.append(event.attempt)
        raise RuntimeError

    async def run() -> list[str]:
        stage = Stage(one_handler(handler), retries=2)
        verbs, progress = [], ""
        for _ in range(3):
            closing = await stage.finish(progress=progress)
            stage.now = closing.due
            progress = closing.progress
            verbs.append(closing.verb)
        return verbs

    assert asyncio.run(run()) == ["retry", "retry", "dead"]
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("own", "verb"), [(0, "dead"), (5, "retry")])
def test_a_handlers_own_retries_win(own: int, verb: str) -> None:
    stage = Stage(one_handler(fails, retries=own), retries=2)
    assert asyncio.run(stage.finish(progress="")).verb == verb


async def sleeps(event: OpenedEvent) -> None:
    await asyncio.sleep(60)


async def swallows_and_fails(event: OpenedEvent) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise RuntimeError(CANARY) from None


@pytest.mark.parametrize(("retries", "verb"), [(0, "dead"), (1, "retry")])
def test_a_timeout_ends_an_async_handler(retries: int, verb: str) -> None:
    ended: list[str] = []

    async def handler(event: OpenedEvent) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(event.id)

    stage = Stage(one_handler(handler), timeout=0.01, retries=retries)
    closing = asyncio.run(stage.finish(answer("x", event_id="evt_1")))
    assert (closing.verb, closing.reason, ended) == (verb, "timeout" if verb == "dead" else "", ["evt_1"])


def test_a_handlers_own_timeout_wins() -> None:
    closing = asyncio.run(Stage(one_handler(sleeps, timeout=0.01), timeout=60).finish())
    assert (closing.verb, closing.reason) == ("dead", "timeout")
    assert "0.01 s" in closing.error


def test_a_handler_that_fails_when_it_is_cancelled_has_failed(
    caplog: pytest.LogCaptureFixture, logged: list[EventDict]
) -> None:
    closing = asyncio.run(Stage(one_handler(swallows_and_fails), timeout=0.01).finish())
    assert closing.verb == "dead"
    assert CANARY not in caplog.text + repr(closing) + str(logged)


def test_a_handler_that_ignores_its_cancellation_is_given_up(
    caplog: pytest.LogCaptureFixture, logged: list[EventDict]
) -> None:
    async def run() -> None:
        freed = asyncio.Event()

        async def stubborn(event: OpenedEvent) -> None:
            while not freed.is_set():
                try:
                    await freed.wait()
                except asyncio.CancelledError:
                    continue
            raise RuntimeError(CANARY)

        stage = Stage(one_handler(stubborn), timeout=0.01, cancel_grace=0.02)
        closing = await stage.finish()
        assert (closing.verb, closing.reason) == ("dead", "timeout")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(others) == 1, "it still runs"
        freed.set()
        await asyncio.gather(*others)
        assert len(stage.closings) == 1, "what it does afterwards changes nothing"

    asyncio.run(run())
    assert "ignores its cancellation" in str(logged)
    assert CANARY not in caplog.text + str(logged)


def test_a_plain_function_that_takes_too_long_frees_its_slot(logged: list[EventDict]) -> None:
    async def run() -> None:
        freed = threading.Event()
        registry = Registry()

        @registry.on_response(action="block", timeout=0.02)
        def blocks(event: OpenedEvent) -> None:
            freed.wait(30)

        registry.on_response(action="go")(plain_fine)
        stage = Stage(registry, concurrency=1)
        try:
            closing = await stage.finish(answer("block"), job="blocked")
            assert (closing.verb, closing.reason) == ("dead", "timeout")
            assert (await stage.finish(answer("go"), job="next")).verb == "done"
        finally:
            freed.set()
        assert len(stage.closings) == 2

    asyncio.run(run())
    assert "goes on in its thread; its slot is free" in str(logged)


def test_plain_functions_run_side_by_side_up_to_the_limit() -> None:
    async def run() -> None:
        together = threading.Barrier(3)

        def meets(event: OpenedEvent) -> None:
            together.wait(10)

        stage = Stage(one_handler(meets), concurrency=3)
        for number in range(3):
            stage.start(job=f"job-{number}")
        await until(lambda: len(stage.ends) == 3)
        assert {closing.verb for closing in stage.ends} == {"done"}

    asyncio.run(run())


# What is wrong with a queued event → the reason of the dead letter.
def _unopened() -> dict[str, tuple[bytes, bytes | None, dict[str, Any], str]]:
    body = answer("approve")
    cut_out = json.loads(body)
    cut_out["sessionId"] = "another-session"
    damaged = json.loads(body)
    damaged["data"]["response"]["encryptedResponse"]["wrappings"] = [7]
    return {
        "forged": (body, b"sha256=" + b"0" * 64, {}, "unverifiable"),
        "not signed": (body, b"", {}, "unverifiable"),
        "signed with a secret that is gone": (body, None, {"secrets": (b"another-secret",)}, "unverifiable"),
        "for another key": (answer("x", agent=new_key_pair()), None, {}, "unknown_key"),
        "no key at all": (body, None, {"keyring": Keyring([])}, "unknown_key"),
        "cut out of another session": (json.dumps(cut_out).encode(), None, {}, "bad_ciphertext"),
        "malformed envelope": (json.dumps(damaged).encode(), None, {}, "bad_envelope"),
        "no JSON": (b"pickle", None, {}, "bad_event"),
        "an id outside its alphabet": (b'{"id": "a b"}', None, {}, "bad_event"),
    }


UNOPENED = _unopened()


@pytest.mark.parametrize(("body", "header", "options", "reason"), UNOPENED.values(), ids=UNOPENED.keys())
def test_what_can_never_be_opened_dies_at_once(
    body: bytes, header: bytes | None, options: dict[str, Any], reason: str
) -> None:
    stage = Stage(one_handler(fine), retries=5, **options)
    stage.start(body, header=signature(body) if header is None else header, progress='{"a": [1, 0, "done"]}')
    (closing,) = stage.closings
    assert (closing.verb, closing.reason, closing.progress) == ("dead", reason, '{"a": [1, 0, "done"]}')


def test_an_answer_that_nobody_wants_is_a_dead_letter() -> None:
    stage = Stage(one_handler(fine, action="aprove"))
    stage.start()
    assert [(one.verb, one.reason) for one in stage.closings] == [("dead", "no_handler")]


def test_other_events_that_nobody_wants_are_done() -> None:
    stage = Stage(one_handler(fine))
    stage.start(webhook_body(type="session.closed", session_id=SESSION))
    assert [one.verb for one in stage.closings] == ["done"]


def test_the_event_a_handler_gets() -> None:
    seen: list[OpenedEvent] = []

    async def handler(event: OpenedEvent) -> None:
        seen.append(event)

    asyncio.run(Stage(one_handler(handler)).finish(answer({"q1": "yes"}, event_id="evt_7")))
    (event,) = seen
    assert (event.id, event.session_id, event.agent_name, event.response, event.attempt) == (
        "evt_7",
        SESSION,
        "deploy-bot",
        {"q1": "yes"},
        1,
    )


def test_handlers_that_ask_get_a_client_of_their_kind_for_the_agent() -> None:
    seen: dict[str, Any] = {}

    async def run() -> None:
        registry = Registry()

        @registry.on_response()
        async def asks(event: OpenedEvent, client: Any) -> None:
            seen["async"] = (client, event.client)

        @registry.on_response()
        def asks_plainly(event: OpenedEvent, client: Any) -> None:
            seen["plain"] = (client, event.client)

        stage = Stage(registry)
        assert (await stage.finish()).verb == "done"
        await stage.dispatcher.clients.aclose()

    asyncio.run(run())
    assert {type(one) for one in seen["async"]} == {AsyncHiloopClient}
    assert {type(one) for one in seen["plain"]} == {HiloopClient}


def test_errors_are_described_by_type_and_place_never_by_text() -> None:
    try:
        asyncio.run(fails(None))  # type: ignore[arg-type]  # it looks at nothing
    except RuntimeError as error:
        text = describe(error)
    assert text.startswith("RuntimeError at test_dispatch_outcomes.py:")
    assert text.endswith(" in fails")
    assert describe(ValueError(CANARY)) == "ValueError"
    assert AGENT.key_id not in text
