"""Real servers, and one driver for both clients: what takes `connect` or `client` runs blocking and async."""

from __future__ import annotations

import asyncio
import base64
import inspect
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from receiver.client import AsyncHiloopClient, HiloopClient, Retries
from receiver.sandbox.harness import LocalHiloop
from receiver.sandbox.human import Human

API_KEY = "hlp_" + "5e" * 32
QUICK = Retries(attempts=4, base=0.001, longest=0.002)


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
        return self._runner.run(result) if self._runner and inspect.isawaitable(result) else result

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
    """Makes drivers of one kind of client, and closes them after the test."""
    made: list[Driver] = []
    runner = asyncio.Runner() if request.param == "async" else None

    def make(base_url: str | None, agent_name: str = "deploy-bot", **settings: Any) -> Driver:
        settings = {"api_key": API_KEY, "retries": QUICK, "agent_keys": (), **settings}
        kind = HiloopClient if runner is None else AsyncHiloopClient
        made.append(Driver(kind(agent_name=agent_name, base_url=base_url, **settings), runner))
        return made[-1]

    yield make
    for driver in made:
        driver.close()
    if runner is not None:
        runner.close()


@pytest.fixture
def hiloop() -> Iterator[LocalHiloop]:
    """A fresh sandbox whose time runs fast, with a human who has a key."""
    with LocalHiloop(api_key=API_KEY, speed=1_000_000.0) as hiloop:
        yield hiloop


@pytest.fixture
def human(hiloop: LocalHiloop) -> Human:
    """The human of the sandbox."""
    return hiloop.human


@pytest.fixture
def client(connect: Callable[..., Driver], hiloop: LocalHiloop) -> Driver:
    """A client of the sandbox."""
    return connect(hiloop.url)


@pytest.fixture
def another_key() -> str:
    """A new agent key in base64."""
    return base64.b64encode(os.urandom(32)).decode()


class Stage:
    """An ASGI application that hands every request to the one that plays now."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on one request."""
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Iterator[tuple[str, Stage]]:
    """A real server for whatever application a test puts on it; starting one for each would take most of the time."""
    stage = Stage()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(stage, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        # The socket listens already: the first request waits until the server is up.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", stage
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def serving(stage: tuple[str, Stage]) -> Callable[[Any], Any]:
    """Serves an ASGI application; gives its address."""
    url, on_stage = stage

    @contextmanager
    def serve(app: Any) -> Iterator[str]:
        on_stage.app = app
        yield url

    return serve


@contextmanager
def _meanwhile(act: Callable[[], object]) -> Iterator[None]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert failures == []


@pytest.fixture
def meanwhile() -> Callable[[Callable[[], object]], Any]:
    """Runs something in another thread, whose failure is one of the test."""
    return _meanwhile
