"""A sandbox of its own for every test, an agent that talks with it, and a browser to be its human with."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from receiver.sandbox.harness import LocalHiloop
from tests.acceptance.agent import Agent
from tests.acceptance.browser import launched, visiting
from tests.support.installed import Installed, build_and_install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """This package, installed from its wheel."""
    return build_and_install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def hiloop() -> Iterator[LocalHiloop]:
    with LocalHiloop(speed=1000) as hiloop:
        yield hiloop


@pytest.fixture
def agent(hiloop: LocalHiloop) -> Iterator[Agent]:
    with closing(Agent(hiloop.url, hiloop.api_key)) as agent:
        yield agent


@pytest.fixture
def page(browser: Browser, hiloop: LocalHiloop) -> Iterator[Page]:
    """The human's page, opened with the human's key and connected."""
    with visiting(browser) as page:
        page.goto(hiloop.page_url)
        page.get_by_role("status").get_by_text("Connected").wait_for()
        yield page
