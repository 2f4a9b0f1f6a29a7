"""What a person clicks, fills in and writes in the browser arrives, opened, in a handler; its reply comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from receiver.client import HiloopClient
from receiver.embedded import EmbeddedRedis
from receiver.sandbox.harness import LocalHiloop
from tests.acceptance import examples
from tests.acceptance.browser import visiting
from tests.support.processes import start_web, start_worker
from tests.support.waiting import wait_until
from tests.support.wire import SECRET, TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Told = Callable[[], list[Any]]


@pytest.fixture
def told(redis_server: EmbeddedRedis, redis_client: object, hiloop: LocalHiloop, tmp_path: Path) -> Iterator[Told]:
    """Web and worker behind the sandbox's webhook; gives what the handlers were told so far."""
    web = start_web(redis_server.url, tmp_path)
    path = tmp_path / "told"
    path.touch()
    worker = start_worker(
        redis_server.url,
        tmp_path,
        {
            "HILOOP_API_KEY": hiloop.api_key,
            "HILOOP_BASE_URL": hiloop.url,
            "HILOOP_AGENT_NAME": "deploy-bot",
            "HILOOP_HANDLERS": "tests.support.loop_handlers",
            "TOLD": str(path),
        },
    )
    hiloop.admin.add_webhook(f"http://127.0.0.1:{web.port}/webhooks/hiloop", token=TOKEN, secret=SECRET)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    worker.stop()
    web.stop()


@pytest.fixture
def client(hiloop: LocalHiloop) -> Iterator[HiloopClient]:
    with HiloopClient(hiloop.api_key, "deploy-bot", base_url=hiloop.url) as client:
        yield client


def ask(client: HiloopClient, title: str, components: list[Any]) -> None:
    client.send_message(client.create_session(title=title).id, components=components)


def test_every_kind_of_answer_reaches_a_handler(
    browser: Browser, hiloop: LocalHiloop, client: HiloopClient, told: Told
) -> None:
    ask(client, "Deploy?", examples.APPROVAL)
    with visiting(browser) as page:
        page.goto(hiloop.page_url)
        open_session(page, "Deploy?")
        page.get_by_role("button", name="Approve").click()
        wait_until(lambda: told() == ["approve"])
        page.get_by_text("Got it, says deploy-bot.").wait_for()

        page.goto(hiloop.page_url)
        ask(client, "Incident", [examples.FORM])
        open_session(page, "Incident")
        page.get_by_role("radio", name="High").check()
        page.get_by_role("checkbox", name="API").check()
        page.get_by_role("button", name="Send answers").click()
        wait_until(lambda: told()[1:] == [{"severity": "High", "affected": ["API"], "details": ""}])

        page.get_by_role("textbox", name="Write a message").fill("Wait, not yet")
        page.get_by_role("button", name="Send", exact=True).click()
        wait_until(lambda: told()[2:] == ["Wait, not yet"])
        page.get_by_text("Read.").wait_for()


def test_a_scripted_human_without_a_browser(hiloop: LocalHiloop, client: HiloopClient, told: Told) -> None:
    ask(client, "Deploy?", examples.APPROVAL)
    hiloop.human.answer("reject")
    wait_until(lambda: told() == ["reject"])


def open_session(page: Page, title: str) -> None:
    page.get_by_role("link", name=title).click()
    page.get_by_role("heading", name=title).wait_for()
