"""Waiting for an answer: in time, too late, never, through restarts of the API."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from receiver.client import AsyncHiloopClient, ConnectionFailed, button, button_group, checkbox, qa, radio
from receiver.sandbox.harness import LocalHiloop

API_KEY = "hlp_" + "5e" * 32
BUTTONS = [button_group(button("Approve", "approve"), button("Reject", "reject"))]


def test_answer_that_is_there_already(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?")
    client.send_message(session.id, components=BUTTONS)
    human.answer("reject", session.id)
    result = client.await_response(session.id)
    assert (result.response, result.answered, result.error) == ("reject", True, None)
    assert (result.kind, result.responder_type) == ("response", "Human")
    assert result.sender_key_id == human.pair.key_id
    assert "reject" not in repr(result)
    assert client.get_timeline(session.id).items[-1] == result


def test_answer_that_comes_while_waiting(client: Any, human: Any, meanwhile: Any) -> None:
    form = qa(radio("s", "Severity?", ["High", "Low"]), checkbox("a", "Affected", ["API", "Database"]))
    answers = {"s": "High", "a": ["API"]}
    with meanwhile(lambda: human.answer_form(answers)):
        result = client.ask("Incident", [form], metadata={"n": 1}, timeout=30)
    assert result.response == answers


def test_answer_to_a_message_is_not_one_to_an_earlier_one(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?")
    client.send_message(session.id, components=BUTTONS)
    human.answer("approve", session.id)
    second = client.send_message(session.id, components=BUTTONS)
    assert not client.await_response(session.id, after=second.id, timeout=0).answered
    assert not client.await_response(session.id, timeout=0).answered
    human.answer("reject", session.id)
    assert client.await_response(session.id, after=second.id).response == "reject"


def test_nobody_answers(client: Any) -> None:
    result = client.ask("Deploy?", BUTTONS, timeout=0, default="reject")
    assert (result.answered, result.reason, result.response) == (False, "timeout", "reject")
    assert client.ask("Deploy?", content="Well?", timeout=0).response is None


def test_answer_before_the_end_counts(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?")
    client.send_message(session.id, components=BUTTONS)
    human.answer("approve", session.id)
    human.close_session(session.id)
    assert client.await_response(session.id, timeout=0).response == "approve"


def test_wait_survives_a_restart(connect: Any, meanwhile: Any, tmp_path: Path) -> None:
    state_file, tick, done = tmp_path / "state.json", threading.Event(), threading.Event()
    before = LocalHiloop(api_key=API_KEY, state_file=state_file)
    running = ExitStack()
    running.enter_context(before)
    client = connect(before.url)
    session = client.create_session("Deploy?")
    client.send_message(session.id, components=BUTTONS)

    def restart_and_answer() -> None:
        while not before._sandbox.feed._subscribers:  # until the client waits
            tick.wait(0.01)
        running.close()
        after = LocalHiloop(api_key=API_KEY, state_file=state_file, port=before.port, human_key=before.human.pair)
        with after:
            after.human.answer("approve")
            assert done.wait(30)

    with meanwhile(restart_and_answer):
        result = client.await_response(session.id, timeout=30)
        done.set()
    assert result.response == "approve"


def test_wait_that_ends_in_an_outage_says_so(connect: Any) -> None:
    with LocalHiloop(api_key=API_KEY) as hiloop:
        client = connect(hiloop.url)
        session = client.create_session("Deploy?")
    with pytest.raises(ConnectionFailed):
        client.await_response(session.id, timeout=0.01)


def test_cancelled_wait_leaves_the_client_usable(hiloop: Any) -> None:
    async def scenario() -> None:
        async with AsyncHiloopClient(API_KEY, "deploy-bot", base_url=hiloop.url, agent_keys=()) as client:
            session = await client.create_session("Deploy?")
            await client.send_message(session.id, components=BUTTONS)
            wait = asyncio.create_task(client.await_response(session.id))
            await asyncio.gather(*(client.get_session(session.id) for _ in range(3)))
            wait.cancel()
            with pytest.raises(asyncio.CancelledError):
                await wait
            hiloop.human.answer("approve")
            assert (await client.await_response(session.id)).response == "approve"

    asyncio.run(scenario())
