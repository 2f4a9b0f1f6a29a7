"""Fixtures for all tests: a real Redis server, and the real web and worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis
import structlog.testing
from hypothesis import HealthCheck, settings
from structlog.typing import EventDict

from receiver.embedded import EmbeddedRedis
from tests.support.processes import Running, start_web, start_worker
from tests.support.scripts import Scripts

settings.register_profile("tests", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

StartProcess = Callable[..., Running]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The server that all tests share which do not stop it."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A client of the shared server, which is empty."""
    with redis_server.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def scripts(redis_client: redis.Redis) -> Scripts:
    """The Lua scripts over the shared server, which is empty."""
    return Scripts(redis_client)


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A server for one test, which may stop, kill and hang it."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What our own code logs while the test runs: the fields of each line."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(scope="session")
def web(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The web process that all tests share which need no settings of their own."""
    running = start_web(redis_server.url, tmp_path_factory.mktemp("web"), {"HILOOP_MAX_BODY": "65536"})
    yield running
    running.stop()


@pytest.fixture
def web_of(tmp_path: Path) -> Iterator[StartProcess]:
    """Starts web processes: ``web_of(redis_url, settings)``."""
    yield from _starter(start_web, tmp_path)


@pytest.fixture
def worker_of(tmp_path: Path) -> Iterator[StartProcess]:
    """Starts worker processes: ``worker_of(redis_url, settings)``."""
    yield from _starter(start_worker, tmp_path)


def _starter(start: Callable[[str, Path, Mapping[str, str] | None], Running], folder: Path) -> Iterator[StartProcess]:
    started: list[Running] = []

    def starter(redis_url: str, settings: Mapping[str, str] | None = None) -> Running:
        running = start(redis_url, folder, settings)
        started.append(running)
        return running

    yield starter
    for running in started:
        running.kill()
