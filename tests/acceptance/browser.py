"""A real Chromium for tests of pages, and a web server on the loopback interface for it to visit."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without a sandbox of its own, for containers run as root, and without anything that calls home.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 10_000  # for a busy machine; what tests wait for is there much sooner


def launched() -> Iterator[Browser]:
    """The browser, for a fixture to `yield from`.

    Skips where there is none, unless `HILOOP_REQUIRE_BROWSER` is 1: then the test fails.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing = f"no browser on PATH: none of {', '.join(NAMES)}"
        if os.environ.get("HILOOP_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page of its own. Complains at the end of its errors and of requests that leave the machine."""
    context = browser.new_context(reduced_motion="reduce", locale="en-GB", **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if _is_trouble(message) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: None if _is_local(request.url) else troubles.append(request.url))
    yield page
    context.close()
    assert not troubles, troubles


def _is_trouble(message: ConsoleMessage) -> bool:
    # The browser itself logs answers like 409 and servers that are gone, which pages have to live with.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:"))


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI app in a thread; gives its address. The socket listens at once, so nobody need wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
