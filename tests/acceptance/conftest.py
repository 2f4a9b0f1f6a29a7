"""A sandbox of its own for every test, an agent that talks with it, and a browser to be its human with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from receiver.sandbox.app import Sandbox
from tests.acceptance.agent import API_KEY, Agent
from tests.acceptance.browser import launched, serving, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture
def sandbox() -> Iterator[str]:
    """The address of a fresh sandbox."""
    with serving(Sandbox(api_keys=[API_KEY], speed=1000, human_name="Sam").app) as address:
        yield address


@pytest.fixture
def agent(sandbox: str) -> Iterator[Agent]:
    with closing(Agent(sandbox)) as agent:
        yield agent


@pytest.fixture
def page(browser: Browser, sandbox: str) -> Iterator[Page]:
    """The human's page, whose key the sandbox knows by now."""
    with visiting(browser) as page:
        page.goto(sandbox)
        page.get_by_text("Connected").wait_for()
        yield page
