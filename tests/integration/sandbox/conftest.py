"""A fresh sandbox, an agent, and an endpoint for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent
from tests.integration.sandbox.endpoint import Endpoint, serving


@pytest.fixture(scope="session")
def later() -> Iterator[Callable[[Callable[[], None]], object]]:
    """Runs something while other tests go on: stopping a server takes it a fifth of a second."""
    with ThreadPoolExecutor() as pool:
        futures: list[Future[None]] = []
        yield lambda work: futures.append(pool.submit(work))
        for future in futures:
            future.result()


@pytest.fixture
def hiloop(later: Callable[[Callable[[], None]], object]) -> Iterator[LocalHiloop]:
    with ExitStack() as stack:
        yield stack.enter_context(LocalHiloop(speed=10_000))
        later(stack.pop_all().close)


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalHiloop]:
    """One sandbox for all tests of a module that leave nothing behind."""
    with LocalHiloop() as running:
        yield running


@pytest.fixture
def refused(shared: LocalHiloop) -> Agent:
    """An agent for requests that are refused, in the shared sandbox."""
    return Agent(shared)


@pytest.fixture
def agent(hiloop: LocalHiloop) -> Agent:
    return Agent(hiloop)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint
