"""The scripted human, and the autopilot that answers by rules."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest

from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop
from receiver.sandbox.human import Human, HumanResponse
from receiver.sandbox.problems import CannotListen, NothingToAnswer, Problem, Unreachable, WrongAnswer
from receiver.sandbox.rules import Rule
from tests.integration.sandbox.agent import APPROVAL, FORM, Agent
from tests.integration.sandbox.endpoint import Endpoint


def answered(agent: Agent, session_id: str) -> Any:
    response = agent.awaited(session_id, timeout=10)
    return response and agent.opened(response["encryptedResponse"], session_id, "encryptedResponse")


def test_a_button_is_pressed(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, message_id = agent.ask()
    assert hiloop.human.answer("approve").id == message_id
    assert answered(agent, session_id) == "approve"


def test_a_form_is_filled_in_as_the_page_does(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, _ = agent.ask(FORM)
    hiloop.human.answer_form({"severity": "High", "affected": "API"})
    assert answered(agent, session_id) == {"severity": "High", "affected": ["API"], "details": ""}


def test_free_text_answers_a_message_without_buttons(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    agent.send(session_id, content="Which region?", responseRequired=True)
    hiloop.human.answer("Europe – süd")
    assert answered(agent, session_id) == "Europe – süd"


@pytest.mark.parametrize(
    ("components", "act", "says"),
    [
        (APPROVAL, lambda human: human.answer("aprove"), "approve, reject"),
        (APPROVAL, lambda human: human.answer_form({"a": "b"}), "no form"),
        (FORM, lambda human: human.answer("approve"), "asks for a form"),
        (FORM, lambda human: human.answer_form({"sverity": "High"}), "severity, affected, details"),
        (FORM, lambda human: human.answer_form({"severity": "Medium"}), "High, Low"),
        (FORM, lambda human: human.answer_form({"severity": ["High", "Low"]}), "takes one answer"),
    ],
)
def test_what_is_not_offered_is_not_answered(
    hiloop: LocalHiloop, agent: Agent, components: Any, act: Any, says: str
) -> None:
    session_id, _ = agent.ask(components)
    with pytest.raises(WrongAnswer, match=says):
        act(hiloop.human)
    assert agent.awaited(session_id, timeout=0) is None


def test_the_human_waits_for_a_question(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    with hiloop.human.notices(10) as notices:
        thread = threading.Thread(target=lambda: Human.answer(human, "approve"))
        human = Human(hiloop.url, hiloop.human.pair)
        thread.start()
        agent.send(session_id, components=APPROVAL)
        next(notices)
        thread.join(10)
    human.close()
    assert answered(agent, session_id) == "approve"


def test_messages_come_one_by_one(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id = agent.new_session()
    for text in ("one", "two"):
        agent.send(session_id, content=text)
    seen = [hiloop.human.wait_for_message().content for _ in range(2)]
    assert sorted(seen) == ["one", "two"]
    with pytest.raises(NothingToAnswer, match="waited"):
        hiloop.human.wait_for_message(timeout=0.01)


def test_the_timeline_is_opened_and_shows_in_no_repr(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, _ = agent.ask()
    hiloop.human.answer("approve")
    hiloop.human.say("thanks")
    message, response, said = hiloop.human.timeline(session_id)
    assert isinstance(response, HumanResponse)
    assert response.value == "approve"
    assert message.components == APPROVAL
    assert said.content == "thanks"
    shown = repr([message, response, said, hiloop.human, hiloop.human.sessions()])
    assert not [each for each in ("approve", "thanks", "Deploy", hiloop.human.page_url[-20:]) if each in shown]


def test_what_is_sealed_for_an_earlier_device_is_not_readable(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, _ = agent.ask()
    device = Human(hiloop.url)
    device.register()
    (message,) = device.messages(session_id)
    assert not message.readable
    assert device.sessions()[0].title is None
    assert device.asking() is None
    device.close()
    agent.send(session_id, components=APPROVAL)
    hiloop.human.answer("approve")
    assert answered(agent, session_id) == "approve"


def test_a_key_that_is_published_in_between_is_sealed_for(hiloop: LocalHiloop, agent: Agent) -> None:
    session_id, _ = agent.ask()
    agents_new = KeyPair.from_private(bytes(range(32)))
    keys = hiloop.human._sealed
    calls: list[str] = []

    def sealed(*arguments: Any) -> Any:
        envelope = keys(*arguments)
        if not calls:
            agent.publish(agents_new.public_key)
        calls.append("sealed")
        return envelope

    hiloop.human._sealed = sealed  # type: ignore[method-assign]  # the race happens between sealing and sending
    hiloop.human.answer("approve")
    assert len(calls) == 2
    agent.pair = agents_new
    assert answered(agent, session_id) == "approve"


def test_the_most_urgent_waiting_session_is_written_in(hiloop: LocalHiloop, agent: Agent) -> None:
    with pytest.raises(NothingToAnswer):
        hiloop.human.say("anybody?")
    urgent = agent.new_session(priority="Critical")
    assert hiloop.human.say("hello") == urgent
    waiting = agent.new_session(priority="Low")
    agent.send(waiting, content="?", responseRequired=True)
    assert hiloop.human.say("hello") == waiting
    assert hiloop.human.close_session() == waiting
    assert hiloop.human.close_session() == urgent
    with pytest.raises(Problem, match="session_closed"):
        hiloop.human.say("still there?", urgent)


def test_no_sandbox_is_said_so() -> None:
    human = Human("http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"no sandbox answers at http://127\.0\.0\.1:9"):
        human.register()
    human.close()


def test_another_server_is_no_sandbox(endpoint: Endpoint) -> None:
    human = Human(endpoint.url.removesuffix("/hooks"))
    with pytest.raises(Unreachable, match="is no sandbox"):
        human.sessions()
    human.close()


def test_a_taken_port_is_said_so(shared: LocalHiloop) -> None:
    with pytest.raises(CannotListen, match="is taken"):
        LocalHiloop(port=shared.port)


def test_the_autopilot_answers_what_asks() -> None:
    with LocalHiloop(auto="approve", after=0.05) as hiloop:
        agent = Agent(hiloop)
        approval, form = agent.ask()[0], agent.ask(FORM)[0]
        report = agent.ask([{"type": "text", "data": {"content": "All is well."}}])[0]
        assert answered(agent, approval) == "approve"
        assert answered(agent, form) == {"severity": "High", "affected": ["API"], "details": "All good."}
        assert agent.awaited(report, timeout=0) is None


def test_the_autopilot_follows_the_first_rule_that_matches() -> None:
    rules = [
        Rule(title="*skip*", ignore=True),
        Rule(title="*end*", close=True),
        Rule(title="*odd*", answer="explode"),
        Rule(text="*SEVERITY*", form={"severity": "Low"}),
        Rule(agent="chatty", say="wait, not yet"),
        Rule(answer="reject"),
    ]
    with LocalHiloop(auto=rules) as hiloop:
        agent, chatty = Agent(hiloop), Agent(hiloop, "chatty")
        sessions = {
            title: agent.new_session(f"Please {title} this") for title in ("skip", "end", "odd", "form", "approve")
        }
        for title, session_id in sessions.items():
            agent.send(session_id, components=FORM if title == "form" else APPROVAL)
        talk = chatty.ask()[0]
        assert answered(agent, sessions["form"]) == {"severity": "Low", "affected": [], "details": ""}
        assert answered(agent, sessions["approve"]) == "reject"
        hiloop.human.wait_until(
            lambda: any(each.content == "wait, not yet" for each in hiloop.human.messages(talk)) or None, "no word"
        )
        assert agent.http.get(f"/sessions/{sessions['end']}").json()["status"] == "Closed"
        for title in ("skip", "odd"):
            assert agent.awaited(sessions[title], timeout=0) is None


def test_a_key_can_be_given(tmp_path: Any) -> None:
    pair = KeyPair.from_private(bytes(range(32)))
    with LocalHiloop(human_key=pair) as hiloop:
        keys = hiloop.human._api.call("GET", "/human/api/me")["keys"]
        fragment = hiloop.page_url.partition("#key=")[2]
    assert [each["keyId"] for each in keys] == [pair.key_id]
    assert base64.urlsafe_b64decode(fragment + "=") == pair.private_key
