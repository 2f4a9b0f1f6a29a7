"""The human's page as a whole: keys, the feed, live updates, and what it does with what it cannot read."""

from __future__ import annotations

import base64
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from playwright.sync_api import Error, expect

from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop
from receiver.senders import fingerprint
from tests.acceptance import examples
from tests.acceptance.agent import Agent
from tests.acceptance.browser import visiting

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PAYLOAD = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
STORED = "JSON.parse(localStorage.getItem('hiloop-sandbox-keys'))"


def connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_text("Connected")


def keys_of_the_human(hiloop: LocalHiloop) -> list[str]:
    me = httpx.get(f"{hiloop.url}/human/api/me", trust_env=False).json()
    return [key["keyId"] for key in me["keys"]]


def test_the_key_in_the_address_is_kept_and_never_sent(browser: Browser, hiloop: LocalHiloop) -> None:
    with visiting(browser) as page:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(f"{request.url} {request.headers} {request.post_data}"))
        page.goto(hiloop.page_url)
        connected(page)
        assert page.evaluate("location.href") == f"{hiloop.url}/"
        [private_key] = page.evaluate(STORED)
        assert KeyPair.from_base64(private_key).key_id == hiloop.human.pair.key_id
        secret = hiloop.page_url.partition("#key=")[2]
        assert not any(secret in each or private_key in each for each in sent)
        page.reload()
        connected(page)
        assert page.evaluate(STORED) == [private_key]
    assert keys_of_the_human(hiloop) == [hiloop.human.pair.key_id]


def test_the_page_shows_the_fingerprint_that_one_compares(page: Page, hiloop: LocalHiloop) -> None:
    connected(page)
    expect(page.locator("#fingerprint")).to_have_text(f"Your key {fingerprint(hiloop.human.pair.key_id)}")


def test_without_a_key_a_new_one_is_made_and_registered(browser: Browser, hiloop: LocalHiloop, agent: Agent) -> None:
    agent.ask("Before this browser came", *examples.QUICK_START)
    with visiting(browser) as page:
        page.goto(hiloop.url)
        connected(page)
        [private_key] = page.evaluate(STORED)
        new_id = KeyPair.from_base64(private_key).key_id
        assert keys_of_the_human(hiloop) == [hiloop.human.pair.key_id, new_id]
        page.get_by_role("link", name="Cannot be opened (unknown_key)").click()
        expect(page.locator("li .unopenable")).to_contain_text("sealed before this browser's key was known")
        session_id = agent.ask("Since it came", *examples.QUICK_START)
        page.get_by_role("link", name="Since it came").click()
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".answer")).to_be_visible()
        assert agent.answer(session_id) == "approve"
        # The human's own address brings the older key; the new one is kept.
        page.goto(hiloop.page_url)
        page.get_by_role("link", name="Before this browser came").click()
        expect(page.get_by_text("Ready to deploy.")).to_be_visible()
        assert page.evaluate(STORED)[1:] == [private_key]


def test_a_damaged_key_is_explained(browser: Browser, hiloop: LocalHiloop) -> None:
    with visiting(browser) as page:
        page.goto(f"{hiloop.url}/#key=too-short")
        expect(page.get_by_role("alert")).to_contain_text("The key in the address is damaged")
        page.reload()
        connected(page)


def test_the_feed_goes_by_priority_then_the_newest_first(page: Page, agent: Agent) -> None:
    for title, priority in (
        ("a", "Low"),
        ("b", "Critical"),
        ("c", "Normal"),
        ("d", "Critical"),
        ("e", "High"),
    ):
        agent.ask(title, *examples.QUICK_START, priority=priority)
    done = agent.ask("f", *examples.QUICK_START, priority="Critical")
    agent.call("POST", f"/sessions/{done}/close")
    feed = page.get_by_role("navigation", name="Sessions")
    expect(feed.get_by_role("heading", level=3)).to_have_text(["Critical", "High", "Normal", "Low", "Closed"])
    expect(feed.locator(".title")).to_have_text(["d", "b", "e", "c", "a", "f"])
    expect(feed.get_by_text("Waiting for you")).to_have_count(5)
    expect(page).to_have_title("(5) Hiloop sandbox")
    expect(feed.get_by_role("link").first).to_contain_text("deploy-bot")


def test_an_empty_feed_says_what_will_be_there(page: Page) -> None:
    expect(page.get_by_text("No sessions yet.")).to_be_visible()
    expect(page.get_by_text("Choose a session")).to_be_visible()


def test_more_sessions_and_messages_than_fit_in_one_answer(page: Page, agent: Agent) -> None:
    session_id = agent.new_session("Long")
    for number in range(60):
        agent.send(session_id, content=f"number {number}", required=False)
    for number in range(55):
        agent.new_session(f"Session {number}", priority="Low")
    expect(page.locator("#feed .title")).to_have_count(56)
    page.get_by_role("link", name="Long").click()
    expect(page.locator(".message")).to_have_count(60)
    expect(page.locator(".message").last).to_be_in_viewport()


def test_sessions_and_messages_appear_by_themselves_and_nothing_half_done_is_lost(page: Page, agent: Agent) -> None:
    session_id = agent.ask("Incident", examples.FORM)
    page.get_by_role("link", name="Incident").click()
    details = page.get_by_role("textbox", name="Description")
    details.fill("half a sen")
    agent.send(session_id, content="Any news?", required=False)
    expect(page.get_by_text("Any news?")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("New message from deploy-bot")
    expect(details).to_have_value("half a sen")
    expect(details).to_be_focused()
    agent.call("POST", f"/sessions/{session_id}/typing", {"typing": True})
    expect(page.get_by_text("The agent is writing")).to_be_visible()
    agent.call("POST", f"/sessions/{session_id}/typing", {"typing": False})
    expect(page.get_by_text("The agent is writing")).to_have_count(0)
    agent.call("POST", f"/sessions/{session_id}/close")
    expect(page.get_by_text("This session is closed")).to_be_visible()
    expect(details).to_be_disabled()


def test_an_answer_from_elsewhere_shows_here_too(page: Page, agent: Agent, hiloop: LocalHiloop) -> None:
    agent.ask("Deploy?", *examples.QUICK_START)
    page.get_by_role("link", name="Deploy?").click()
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()
    hiloop.human.answer("approve")
    expect(page.locator(".answer")).to_contain_text("Approve")
    expect(page.get_by_role("button", name="Reject")).to_be_disabled()


def test_the_page_finds_its_way_back_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    same: dict[str, Any] = {
        "state_file": tmp_path / "state.json",
        "human_key": KeyPair.from_private(b"\x09" * 32),
    }
    with visiting(browser) as page:
        with LocalHiloop(**same) as first:
            page.goto(first.page_url)
            connected(page)
            with closing(Agent(first.url, first.api_key)) as agent:
                session_id = agent.ask("Deploy?", *examples.QUICK_START)
            page.get_by_role("link", name="Deploy?").click()
        expect(page.locator("#connection")).to_have_class("lost")
        with LocalHiloop(**same, port=first.port, api_key=first.api_key) as second:
            connected(page)
            with closing(Agent(second.url, second.api_key)) as agent:
                agent.send(session_id, content="Still there?")
                expect(page.get_by_text("Still there?")).to_be_visible()
                page.get_by_role("button", name="Approve").click()
                expect(page.locator(".answer")).to_be_visible()


def test_what_was_tampered_with_is_not_shown(page: Page, agent: Agent) -> None:
    session_id = agent.new_session("Deploy?")
    people = agent.call("GET", f"/sessions/{session_id}/participants")["items"]
    keys = [key for person in people for key in person["keys"]]
    good = agent.sealed(session_id, "content", "pay 100", keys)
    raw = bytearray(base64.b64decode(good["ciphertext"]))
    raw[-1] ^= 1
    elsewhere = agent.sealed(session_id, "title", "pay 100", keys)
    for envelope in (good | {"ciphertext": base64.b64encode(raw).decode()}, elsewhere):
        agent.call(
            "POST",
            f"/sessions/{session_id}/messages",
            {"encryptedContent": envelope, "responseRequired": True},
        )
    page.get_by_role("link", name="Deploy?").click()
    expect(page.locator("li .unopenable")).to_have_count(2)
    expect(page.locator("li .unopenable code")).to_have_text(["bad_ciphertext"] * 2)
    expect(page.get_by_text("pay 100")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Your answer")).to_have_count(0)


def test_payloads_stay_text(page: Page, agent: Agent) -> None:
    session_id = agent.new_session(PAYLOAD, description=PAYLOAD, metadata={PAYLOAD: PAYLOAD})
    agent.send(session_id, content=PAYLOAD, components=[{"type": PAYLOAD}, *examples.QUICK_START])
    page.get_by_role("link", name="<img src=x").click()
    expect(page.get_by_role("heading", level=2).last).to_have_text(PAYLOAD)
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_role("definition").filter(has_text=PAYLOAD)).to_be_visible()
    page.get_by_role("textbox", name="Write a message").fill(PAYLOAD)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".message.human .text")).to_have_text(PAYLOAD)
    assert page.evaluate("window.hit") is None
    assert page.locator("main script, main img").count() == 0


def test_the_policy_forbids_what_the_page_does_not_need(browser: Browser, hiloop: LocalHiloop) -> None:
    for name in ("", "admin.html"):
        answer = httpx.get(f"{hiloop.url}/{name}", trust_env=False)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy + answer.text
        assert not re.search(r"\sstyle=|\son\w+=|<script>|<style>", answer.text)
    # Not `visiting`, which would complain of what this provokes.
    with closing(browser.new_page()) as page:
        page.goto(f"{hiloop.url}/admin.html")
        with pytest.raises(Error, match="TrustedHTML"):
            page.evaluate("() => { document.body.innerHTML = '<b>x</b>'; }")


def test_an_unknown_session_is_explained(page: Page, hiloop: LocalHiloop) -> None:
    page.goto(f"{hiloop.url}/#/sessions/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_text("This session does not exist")).to_be_visible()


def test_a_guest_sees_one_session_and_answers_under_its_own_name(
    browser: Browser, hiloop: LocalHiloop, agent: Agent
) -> None:
    agent.ask("Not for guests", *examples.QUICK_START)
    session_id = agent.new_session("For guests")
    invited = agent.call("POST", f"/sessions/{session_id}/guest-tokens", {"name": "Gwen", "expiresIn": 3600})
    with visiting(browser) as page:
        page.goto(invited["url"])
        connected(page)
        expect(page.locator("#name")).to_have_text("Gwen")
        assert page.evaluate("location.href") == f"{hiloop.url}/"
        expect(page.locator("#feed").get_by_role("link")).to_have_count(1)
        agent.send(session_id, components=examples.QUICK_START)
        page.get_by_role("link", name="unknown_key").click()
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".answer")).to_contain_text("Answered by Gwen")
    assert agent.answer(session_id) == "approve"


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_every_example_fits_and_can_be_read(browser: Browser, hiloop: LocalHiloop, agent: Agent, width: int) -> None:
    agent.ask(
        "A title that is long enough to need more than a single line on the screen of a phone",
        *examples.APPROVAL,
        *examples.REPORT,
        examples.FORM,
        examples.TABS,
        examples.chart("bar", North=[1, 2, 3, 4]),
        {"type": "video", "data": {"src": "x" * 300}},
        {"type": "text", "data": {"content": "y" * 300}},
    )
    with visiting(browser, viewport={"width": width, "height": 740}) as page:
        page.goto(hiloop.page_url)
        link = page.get_by_role("link", name="A title")
        link.click()
        page.locator("rect.bar").first.wait_for()
        expect(link).to_be_visible(visible=width > 719)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".timeline").evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
        schemes: list[Literal["light", "dark"]] = ["light", "dark"]
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            assert faint(page) == []
        if width < 720:
            page.get_by_role("link", name="All sessions").click()
            expect(link).to_be_visible()
            expect(page.locator("#session")).to_be_hidden()


def faint(page: Page) -> list[str]:
    """The texts whose contrast to what is behind them is below 4.5 (WCAG 2, level AA)."""
    return page.evaluate(
        """() => {
            const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
            const light = (colour) => channels(colour).slice(0, 3)
                .map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
                .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
            const behind = (node) => {
                const colour = getComputedStyle(node).backgroundColor;
                return (channels(colour)[3] ?? 1) > 0 ? colour : behind(node.parentElement);
            };
            const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "";
            const hasText = (node) => [...node.childNodes].some(isText);
            return [...document.querySelectorAll("body *:not(svg *)")]
                .filter((node) => node.checkVisibility() && hasText(node))
                .filter((node) => {
                    const both = [light(getComputedStyle(node).color), light(behind(node))];
                    const [low, high] = both.sort((a, b) => a - b);
                    return (high + 0.05) / (low + 0.05) < 4.5;
                })
                .map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`);
        }"""
    )
