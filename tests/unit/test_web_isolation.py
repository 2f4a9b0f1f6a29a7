"""The web process knows no key, no plaintext and no user code: seen in a fresh interpreter, after a whole request."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, SETTINGS
from tests.support.wire import WEBHOOK_PATH

FORBIDDEN = [
    "nacl",
    "httpx",
    "workers",
    "receiver.envelope",
    "receiver.keyring",
    "receiver.client",
    "receiver.sandbox",
    "receiver.testing",
    "rq",
    "prometheus_client",  # only where metrics are wanted
    "receiver.metrics",
]
# What a process with neither metrics nor a dashboard does not load either.
ONLY_WHERE_WANTED = ["receiver.ledger", "receiver.dashboard", "receiver.orders", "receiver.noted", "jinja2"]

# Builds the application as uvicorn does, and has it refuse a request: lazy imports would show.
PROGRAM = f"""
import asyncio, json, sys
from receiver.app import from_environment

async def main():
    app = from_environment()
    sent = []
    async def receive():
        return {{"type": "http.request", "body": b"{{}}", "more_body": False}}
    async def send(message):
        sent.append(message)
    for path in ("{WEBHOOK_PATH}", "/healthz", "/readyz", "/nowhere", "/dashboard/login", "/dashboard/events"):
        scope = {{"type": "http", "method": "POST" if path == "{WEBHOOK_PATH}" else "GET", "path": path, "headers":
                 [(b"content-type", b"application/json")], "query_string": b"", "root_path": "", "scheme": "http",
                 "http_version": "1.1", "client": None, "server": None, "asgi": {{"version": "3.0"}}}}
        await app(scope, receive, send)
    return [message["status"] for message in sent if message["type"] == "http.response.start"]

statuses = asyncio.run(main())
print(json.dumps([statuses, sorted(sys.modules)]))
"""


def run(**settings: str) -> tuple[list[int], set[str]]:
    """The statuses answered under these settings, and all modules loaded by then."""
    environment = {"PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:1/0", **SETTINGS, **settings}
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True, timeout=60
    ).stdout
    statuses, modules = json.loads(output.splitlines()[-1])
    return statuses, set(modules)


@pytest.fixture(scope="module")
def seen() -> tuple[list[int], set[str]]:
    """The same without a dashboard."""
    return run()


@pytest.fixture(scope="module")
def seen_with_dashboard() -> tuple[list[int], set[str]]:
    """The same with one."""
    return run(HILOOP_DASHBOARD_TOKEN="token-of-the-dashboard")


def loaded(modules: set[str], name: str) -> list[str]:
    """What is loaded of a package."""
    return sorted(one for one in modules if one == name or one.startswith(f"{name}."))


def test_the_application_answered(seen: tuple[list[int], set[str]]) -> None:
    assert seen[0] == [401, 200, 503, 404, 404, 404]
    assert {"receiver.app", "receiver.ingest", "receiver.inbox", "starlette", "redis"} <= seen[1]


@pytest.mark.parametrize("name", [*FORBIDDEN, *ONLY_WHERE_WANTED])
def test_it_has_not_loaded(seen: tuple[list[int], set[str]], name: str) -> None:
    assert loaded(seen[1], name) == []


def test_the_dashboard_answered(seen_with_dashboard: tuple[list[int], set[str]]) -> None:
    assert seen_with_dashboard[0] == [401, 200, 503, 404, 200, 303]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_dashboard_has_not_loaded(seen_with_dashboard: tuple[list[int], set[str]], name: str) -> None:
    assert loaded(seen_with_dashboard[1], name) == []
