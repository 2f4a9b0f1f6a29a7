"""Real servers, a human with a key, and one driver for both clients: every test here runs blocking and async."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from receiver.client import AsyncHiloopClient, HiloopClient, Retries
from receiver.envelope import open_envelope, seal
from receiver.keyring import KeyPair, Keyring
from receiver.sandbox.app import Sandbox

API_KEY = "hlp_" + "5e" * 32
QUICK = Retries(attempts=4, base=0.001, longest=0.002)


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.01)
    raise AssertionError("the condition did not come true in time")


@contextmanager
def serving(app: Any, port: int = 0, before_stop: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Serve ``app`` on a loopback port, give the address."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        before_stop()
        server.should_exit = True
        thread.join()
        listener.close()


class Driver:
    """Calls a client of either kind the same way."""

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        return self._settling(member) if callable(member) else member

    def _settling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.settle(method(*args, **kwargs))

        return call

    def settle(self, result: Any) -> Any:
        """The value of ``result``, awaited if need be."""
        return self._runner.run(result) if inspect.isawaitable(result) else result

    def acting_as(self, agent_name: str) -> Driver:
        """A driver of the bound client."""
        return Driver(self._client.acting_as(agent_name), self._runner)

    def everything(self, page: Any) -> list[Any]:
        """All items of a list, from this page to its end."""
        if self._runner is None:
            return list(page)

        async def gather() -> list[Any]:
            return [item async for item in page]

        return self._runner.run(gather())

    def close(self) -> None:
        """Close the client."""
        self.settle(self._client.close() if self._runner is None else self._client.aclose())


@pytest.fixture(params=["blocking", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Driver]]:
    """Makes drivers of one kind of client, for this parameter; closes them after the test."""
    made: list[Driver] = []
    runner = asyncio.Runner() if request.param == "async" else None

    def make(base_url: str, agent_name: str = "deploy-bot", **settings: Any) -> Driver:
        settings = {"api_key": API_KEY, "retries": QUICK, "agent_keys": (), **settings}
        kind = HiloopClient if runner is None else AsyncHiloopClient
        made.append(Driver(kind(agent_name=agent_name, base_url=base_url, **settings), runner))
        return made[-1]

    yield make
    for driver in made:
        driver.close()
    if runner is not None:
        runner.close()


@pytest.fixture(name="serving")
def serving_fixture() -> Callable[..., Any]:
    """`serving`, for tests that start and stop servers themselves."""
    return serving


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    """`wait_until`, for tests."""
    return wait_until


class Human:
    """The human of a sandbox, with a key of their own."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, trust_env=False)
        self.id = self._http.get("/human/api/me").json()["id"]
        self.keyring = Keyring([])
        self.new_device()

    def new_device(self) -> None:
        """Get another key, which becomes the one to seal with."""
        pair = KeyPair.from_private(os.urandom(32))
        self.keyring = Keyring([pair, *self.keyring])
        public_key = base64.b64encode(pair.public_key).decode()
        self._put("keys", {"publicKey": public_key})

    def sees(self, session_id: str) -> list[Any]:
        """What the human reads: title, then contents and components of all messages."""
        session = self.get(f"sessions/{session_id}")
        shown = [self._opened(session, "encryptedTitle", session_id)]
        for item in self.get(f"sessions/{session_id}/timeline")["items"]:
            for name in ("encryptedContent", "encryptedComponents"):
                if item.get(name) is not None:
                    shown.append(self._opened(item, name, session_id))
        return shown

    def waiting(self) -> list[str]:
        """The sessions in which an answer is waited for."""
        return [session["id"] for session in self.get("sessions")["items"] if session["waiting"]]

    def answer(self, session_id: str, value: Any, sender: KeyPair | None = None) -> None:
        """Answer the oldest message that waits for an answer."""
        items = self.get(f"sessions/{session_id}/timeline")["items"]
        done = {item["messageId"] for item in items if item["kind"] == "response"}
        message = next(i for i in items if i.get("responseRequired") and i["id"] not in done)
        sealed = self.seal(session_id, "encryptedResponse", value, sender)
        self.post(f"sessions/{session_id}/responses", {"messageId": message["id"], "encryptedResponse": sealed})

    def say(self, session_id: str, content: str) -> None:
        """Write a message."""
        sealed = self.seal(session_id, "encryptedContent", content)
        self.post(f"sessions/{session_id}/messages", {"encryptedContent": sealed})

    def close_session(self, session_id: str) -> None:
        """End the conversation."""
        self.post(f"sessions/{session_id}/close", {})

    def seal(self, session_id: str, field_name: str, value: Any, sender: KeyPair | None = None) -> Any:
        """An encrypted field for everybody who takes part."""
        participants = self.get(f"sessions/{session_id}/participants")["items"]
        return seal(
            json.dumps(value).encode(),
            sender=sender or self.keyring.current,
            recipients=[base64.b64decode(key["publicKey"]) for one in participants for key in one["keys"]],
            session_id=session_id,
            field_name=field_name,
        )

    def _opened(self, item: Any, name: str, session_id: str) -> Any:
        opened = open_envelope(item[name], keyring=self.keyring, session_id=session_id, field_name=name)
        return opened.value

    def get(self, path: str) -> Any:
        """GET under the human's API."""
        return self._http.get(f"/human/api/{path}").raise_for_status().json()

    def post(self, path: str, body: Any) -> None:
        """POST under the human's API."""
        self._http.post(f"/human/api/{path}", json=body).raise_for_status()

    def _put(self, path: str, body: Any) -> None:
        self._http.put(f"/human/api/{path}", json=body).raise_for_status()

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the sandbox's admin API."""
        return self._http.request(method, f"/admin/api/{path}", json=body).raise_for_status().json()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    """The address of a fresh sandbox."""
    sandbox = Sandbox(api_keys=[API_KEY], speed=1_000_000.0)
    with serving(sandbox.app, before_stop=sandbox.let_go) as base_url:
        yield base_url


@pytest.fixture
def human(sandbox_url: str) -> Iterator[Human]:
    """The human of the sandbox."""
    human = Human(sandbox_url)
    yield human
    human.close()


@pytest.fixture
def client(connect: Callable[..., Driver], sandbox_url: str, human: Human) -> Driver:
    """A client of the sandbox, whose human has a key."""
    return connect(sandbox_url)


@pytest.fixture
def another_key() -> str:
    """A new agent key in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()
