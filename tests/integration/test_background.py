"""What workers do beside their events: one of them at a time, with a lease that belongs to whoever took it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from structlog.typing import EventDict

from receiver.embedded import EmbeddedRedis
from receiver.errors import HiloopError
from tests.support.waiting import wait_until
from workers.background import LEASE_MS, BackgroundTask

LEASE = "lease-of-the-tests"


class Task(BackgroundTask):
    """Notes when it works, and works until its gate is open."""

    def __init__(self, connection: redis.Redis, interval: float = 0.01) -> None:
        super().__init__("task", connection, lease=LEASE, interval=interval)
        self.gate = threading.Event()
        self.rounds = 0
        self.inside = False
        self.raises: Exception | None = None

    def work(self) -> None:
        """One round."""
        self.inside = True
        self.gate.wait(10)
        self.rounds += 1
        self.inside = False
        if self.raises is not None:
            raise self.raises


@pytest.fixture
def tasks(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[list[Task]]:
    """Two workers' tasks, each with a connection of its own; not started."""
    clients = [redis_server.client() for _ in range(2)]
    both = [Task(client) for client in clients]
    yield both
    for task in both:
        task.stop()
        task.gate.set()
        if task.ident is not None:
            task.join(10)
    for client in clients:
        client.close()


def test_one_at_a_time_and_the_other_when_it_is_done(tasks: list[Task], redis_client: redis.Redis) -> None:
    for task in tasks:
        task.start()
    first = wait_until(lambda: next((task for task in tasks if task.inside), None))
    (second,) = [task for task in tasks if task is not first]

    def tries() -> int:
        stats: Any = redis_client.info("commandstats")
        return int(stats["cmdstat_set"]["calls"])

    before = tries()
    wait_until(lambda: tries() > before + 5, what="the other one tries again and again")
    assert not second.inside
    first.stop()
    first.gate.set()
    wait_until(lambda: second.inside, what="the other one's turn")
    assert first.rounds == 1


def test_a_lease_ends_with_the_worker_that_died_at_it(tasks: list[Task], redis_client: redis.Redis) -> None:
    redis_client.set(LEASE, "a worker that was killed", px=300)
    task = tasks[0]
    task.gate.set()
    task.start()
    wait_until(lambda: task.rounds > 0, what="its turn once the lease is over")


def test_a_lease_that_was_lost_is_left_to_its_owner(tasks: list[Task], redis_client: redis.Redis) -> None:
    task = tasks[0]
    task.start()
    wait_until(lambda: task.inside)
    assert task.keep_lease()
    remaining: Any = redis_client.pttl(LEASE)
    assert LEASE_MS - 10_000 < remaining <= LEASE_MS
    redis_client.set(LEASE, "another worker", px=60_000)
    assert not task.keep_lease()
    task.stop()
    task.gate.set()
    task.join(10)
    assert redis_client.get(LEASE) == b"another worker"


@pytest.mark.parametrize("error", [HiloopError("canary"), redis.ConnectionError("canary"), ValueError("canary")])
def test_what_goes_wrong_ends_the_round_only(tasks: list[Task], error: Exception, logged: list[EventDict]) -> None:
    task = tasks[0]
    task.raises = error
    task.gate.set()
    task.start()
    wait_until(lambda: task.rounds > 2, what="it goes on")
    assert logged
    assert "canary" not in str(logged)
