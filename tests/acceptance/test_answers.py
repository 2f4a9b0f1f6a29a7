"""Each kind of answer a person can give in the page arrives at the agent, and only the agent can read it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from receiver.keyring import KeyPair
from tests.acceptance import examples

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from receiver.sandbox.harness import LocalHiloop
    from tests.acceptance.agent import Agent


def open_session(page: Page, title: str) -> None:
    page.get_by_role("link", name=title).click()
    expect(page.get_by_role("heading", name=title)).to_be_focused()


@pytest.mark.parametrize(
    ("message", "label", "action"),
    [(examples.QUICK_START, "Approve", "approve"), (examples.APPROVAL, "Reject", "reject")],
    ids=["quick start", "approval"],
)
def test_a_click(page: Page, agent: Agent, message: list[dict[str, Any]], label: str, action: str) -> None:
    session_id = agent.ask("Deploy v2.4.1?", *message)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url + (request.post_data or "")))
    open_session(page, "Deploy v2.4.1?")
    page.get_by_role("button", name=label).click()
    assert agent.answer(session_id) == action
    answer = page.locator(".answer")
    expect(answer).to_be_focused()
    expect(answer).to_contain_text("Answered by You")
    expect(answer.locator("strong").last).to_have_text(label)
    expect(page.get_by_role("button", name=f"{label} (chosen)")).to_be_disabled()
    expect(page.get_by_text("Waiting for you")).to_have_count(0)
    posted = [each for each in sent if "encryptedResponse" in each]
    assert len(posted) == 1
    assert not any(word in each for each in sent for word in (f'"{action}"', "Deploy v2.4.1?"))

    page.reload()
    expect(page.get_by_role("button", name=f"{label} (chosen)")).to_be_disabled()
    expect(page.locator(".answer")).to_contain_text("Answered by You")


def test_a_form(page: Page, agent: Agent) -> None:
    session_id = agent.ask("Incident 4711", examples.FORM)
    open_session(page, "Incident 4711")
    page.get_by_role("radio", name="High").check()
    page.get_by_role("checkbox", name="API").check()
    page.get_by_role("checkbox", name="Database").check()
    page.get_by_role("textbox", name="Description").fill("Größer als <b>gedacht</b>\n🙈")
    page.get_by_role("button", name="Send answers").click()
    assert agent.answer(session_id) == {
        "severity": "High",
        "affected": ["API", "Database"],
        "details": "Größer als <b>gedacht</b>\n🙈",
    }
    answer = page.locator(".answer")
    expect(answer.get_by_role("term")).to_have_text(["Severity?", "Affected systems", "Description"])
    expect(answer.get_by_role("definition").nth(1)).to_have_text("API, Database")
    expect(page.locator("form.qa")).to_be_hidden()


def test_a_form_in_a_tab_with_options_that_have_values(page: Page, agent: Agent) -> None:
    options = [{"label": "Europe", "value": "eu-1"}, "us-1"]
    form = {
        "type": "qa",
        "data": {"questions": [{"id": "region", "label": "Where?", "type": "radio", "options": options}]},
    }
    tab = {"type": "tab", "data": {"label": "Choice"}, "children": [form]}
    session_id = agent.ask("Region", {"type": "tabs", "children": [examples.TABS["children"][0], tab]})
    open_session(page, "Region")
    page.get_by_role("tab", name="Choice").click()
    page.get_by_role("radio", name="Europe").check()
    page.get_by_role("button", name="Send answers").click()
    assert agent.answer(session_id) == {"region": "eu-1"}


def test_words_where_the_agent_offers_nothing_to_click(page: Page, agent: Agent) -> None:
    session_id = agent.new_session("Which region first?")
    agent.send(session_id, content="Which **region** first?")
    open_session(page, "Which region first?")
    page.get_by_role("button", name="Send answer").click()
    expect(page.get_by_text("Please fill this in.")).to_be_visible()
    page.get_by_role("textbox", name="Your answer").fill("Europe")
    page.get_by_role("button", name="Send answer").click()
    assert agent.answer(session_id) == "Europe"
    expect(page.locator(".answer")).to_contain_text("Europe")


@pytest.mark.parametrize("press", ["the button", "the keyboard"])
def test_a_message(page: Page, agent: Agent, press: str) -> None:
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    open_session(page, "Deploy?")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Please write something first.")).to_be_visible()
    box = page.get_by_role("textbox", name="Write a message")
    box.fill("wait, not yet")
    if press == "the button":
        page.get_by_role("button", name="Send", exact=True).click()
    else:
        box.press("Control+Enter")
    expect(page.locator(".message.human")).to_contain_text("wait, not yet")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    item = agent.call("GET", f"/sessions/{session_id}/timeline")["items"][-1]
    assert item["senderType"] == "Human"
    assert agent.opened(session_id, "encryptedContent", item["encryptedContent"]) == "wait, not yet"
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()


def test_closing_the_session(page: Page, agent: Agent) -> None:
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    open_session(page, "Deploy?")
    page.get_by_role("button", name="Close session").click()
    page.get_by_role("button", name="Keep it open").click()
    page.get_by_role("button", name="Close session").click()
    page.get_by_role("button", name="Close it").click()
    expect(page.get_by_text("This session is closed")).to_be_visible()
    assert agent.call("GET", f"/sessions/{session_id}")["status"] == "Closed"
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    expect(page.get_by_role("textbox", name="Write a message")).to_be_hidden()


def test_by_keyboard_alone(page: Page, agent: Agent) -> None:
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    link = page.get_by_role("link", name="Deploy?")
    link.wait_for()
    press_until_focused(page, link)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Deploy?")).to_be_focused()
    press_until_focused(page, page.get_by_role("button", name="Reject"))
    page.keyboard.press("Enter")
    assert agent.answer(session_id) == "reject"


def press_until_focused(page: Page, wanted: Any) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if wanted.evaluate("(node) => node === document.activeElement"):
            return
    pytest.fail("the Tab key does not lead there")


def test_a_key_that_comes_in_between_is_sealed_for_too(page: Page, agent: Agent, hiloop: LocalHiloop) -> None:
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    open_session(page, "Deploy?")
    other = KeyPair.from_private(b"\x07" * 32)
    tries: list[Any] = []

    def publish_first(route: Any, request: Any) -> None:
        if not tries:
            key = base64.b64encode(other.public_key).decode()
            httpx.put(f"{hiloop.url}/human/api/keys", json={"publicKey": key}, trust_env=False).raise_for_status()
        tries.append(request.post_data_json)
        route.continue_()

    page.route("**/responses", publish_first)
    page.get_by_role("button", name="Approve").click()
    page.locator(".answer").wait_for()
    assert agent.answer(session_id) == "approve"
    recipients = [{each["recipientKeyId"] for each in body["encryptedResponse"]["wrappings"]} for body in tries]
    assert [other.key_id in each for each in recipients] == [False, True]


def test_an_answer_that_is_refused_says_so_and_can_be_given_again(page: Page, agent: Agent) -> None:
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    open_session(page, "Deploy?")
    page.route("**/responses", lambda route: route.abort())
    approve = page.get_by_role("button", name="Approve")
    approve.click()
    expect(page.get_by_role("alert").filter(has_text="The sandbox does not answer")).to_be_visible()
    expect(approve).to_be_enabled()
    expect(approve).to_be_focused()
    page.unroute("**/responses")
    approve.click()
    assert agent.answer(session_id) == "approve"
