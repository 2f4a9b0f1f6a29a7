"""The admin's page: webhooks are added, broken on demand, healed, and their deliveries sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from receiver.signature import verify_bearer, verify_signature
from tests.acceptance import examples
from tests.acceptance.browser import serving, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page
    from starlette.requests import Request

    from receiver.sandbox.harness import LocalHiloop
    from tests.acceptance.agent import Agent


class Receiver:
    """An endpoint that checks what comes and answers with `status`."""

    def __init__(self) -> None:
        self.status = 202
        self.token = self.secret = b""
        self.verified: list[bool] = []
        self.url = ""

    async def endpoint(self, request: Request) -> Response:
        body = await request.body()
        bearer = verify_bearer([self.token], request.headers["authorization"].encode())
        signed = verify_signature([self.secret], body, request.headers["x-hiloop-signature"].encode())
        self.verified.append(bearer is not None and signed is not None)
        return Response(status_code=self.status)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with serving(Starlette(routes=[Route("/hook", receiver.endpoint, methods=["POST"])])) as address:
        receiver.url = f"{address}/hook"
        yield receiver


@pytest.fixture
def admin(browser: Browser, hiloop: LocalHiloop) -> Iterator[Page]:
    with visiting(browser) as page:
        page.goto(f"{hiloop.url}/admin.html")
        expect(page.get_by_text("0 in all")).to_be_visible()
        yield page


def add(page: Page, receiver: Receiver, **scope: str) -> Locator:
    """Add a webhook for `receiver` and give it the secrets that the page shows."""
    page.get_by_label("Address").fill(receiver.url)
    for label, value in scope.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Add webhook").click()
    made = page.locator("#made")
    expect(made.get_by_role("definition")).to_have_count(2)
    token, secret = made.get_by_role("definition").all_inner_texts()
    receiver.token, receiver.secret = token.encode(), secret.encode()
    return page.get_by_role("article", name=receiver.url)


def states(page: Page) -> Locator:
    return page.locator("#deliveries .state")


def test_a_webhook_gets_the_events_of_its_scope(admin: Page, receiver: Receiver, agent: Agent) -> None:
    webhook = add(admin, receiver, Agents="deploy-bot", **{"Event types": "session.created, session.closed"})
    expect(webhook).to_contain_text("agents: deploy-bot · event types: session.created, session.closed")
    session_id = agent.ask("Deploy?", *examples.QUICK_START)
    agent.call("POST", f"/sessions/{session_id}/participants", {"email": "pat@example.com"})
    agent.call("POST", f"/sessions/{session_id}/close")
    expect(admin.locator("#deliveries tbody tr")).to_have_count(2)
    expect(states(admin)).to_have_text(["Delivered", "Delivered"])
    expect(admin.get_by_text("2 in all: 2 delivered, 0 pending, 0 failed.")).to_be_visible()
    assert receiver.verified == [True, True]


def test_a_test_event_and_disabling_and_deleting(admin: Page, receiver: Receiver, agent: Agent) -> None:
    webhook = add(admin, receiver)
    webhook.get_by_role("button", name="Send test").click()
    expect(admin.get_by_role("cell", name="webhook.test", exact=True)).to_be_visible()
    expect(states(admin)).to_have_text("Delivered")
    webhook.get_by_role("button", name="Disable").click()
    expect(webhook.get_by_role("heading")).to_contain_text("(disabled)")
    agent.new_session("Nobody hears of it")
    webhook.get_by_role("button", name="Enable").click()
    expect(webhook.get_by_role("button", name="Disable")).to_be_focused()
    webhook.get_by_role("button", name="Delete").click()
    expect(webhook).to_have_count(0)
    assert receiver.verified == [True]


def test_a_failed_delivery_is_sent_again(admin: Page, receiver: Receiver, hiloop: LocalHiloop) -> None:
    hiloop.admin.set_speed(1_000_000)
    webhook = add(admin, receiver)
    receiver.status = 500
    webhook.get_by_role("button", name="Send test").click()
    expect(states(admin)).to_have_text("Failed")
    expect(admin.locator("#deliveries .reason")).to_contain_text("500")
    receiver.status = 202
    admin.get_by_role("button", name="Retry webhook.test").click()
    expect(states(admin)).to_have_text("Delivered")
    assert all(receiver.verified)


def test_a_fault_strikes_until_it_is_healed(admin: Page, receiver: Receiver) -> None:
    webhook = add(admin, receiver)
    webhook.get_by_text("Let something go wrong").click()
    webhook.get_by_label("Fault").select_option("wrong-signature")
    webhook.get_by_label("Times").fill("2")
    webhook.get_by_role("button", name="Add fault").click()
    faults = webhook.get_by_role("list", name="Faults")
    expect(faults).to_have_text("wrong-signature, 2 more times")
    webhook.get_by_role("button", name="Send test").click()
    expect(faults).to_have_text("wrong-signature, once more")
    webhook.get_by_role("button", name="Heal").click()
    expect(faults).to_have_count(0)
    webhook.get_by_role("button", name="Send test").click()
    expect(states(admin)).to_have_text(["Delivered", "Delivered"])
    assert receiver.verified == [False, True]


def test_what_is_wrong_with_a_new_webhook_is_said(admin: Page) -> None:
    admin.get_by_label("Address").fill("ftp://example.com/")
    admin.get_by_role("button", name="Add webhook").click()
    expect(admin.locator("#new-error")).to_contain_text("url must be an http or https address")
    expect(admin.get_by_label("Address")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits(browser: Browser, hiloop: LocalHiloop, receiver: Receiver, width: int) -> None:
    with visiting(browser, viewport={"width": width, "height": 740}) as page:
        page.goto(f"{hiloop.url}/admin.html")
        add(page, receiver).get_by_role("button", name="Send test").click()
        expect(states(page)).to_have_text("Delivered")
        assert page.evaluate("document.documentElement.scrollWidth") == width
