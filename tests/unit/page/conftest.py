"""The page's modules, each tried by itself in a browser: a bare page with them at hand, and no sandbox."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import receiver
from tests.acceptance.browser import launched, serving, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from starlette.requests import Request

STATIC = Path(receiver.__file__).parent / "sandbox" / "static"
BARE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bare</title>
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/base.css">
<link rel="stylesheet" href="/components.css"><link rel="stylesheet" href="/chart.css"><main></main></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serves the static files and a bare page under the policy of the real one."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (STATIC / "index.html").read_text())
    assert policy is not None

    async def bare(_: Request) -> HTMLResponse:
        return HTMLResponse(BARE, headers={"Content-Security-Policy": policy[1]})

    app = Starlette(routes=[Route("/", bare), Mount("/", StaticFiles(directory=STATIC))])
    with serving(app) as base:
        yield base


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """One page for all tests of a module: each replaces what the one before has drawn."""
    with visiting(browser) as opened:
        opened.goto(address)
        yield opened
