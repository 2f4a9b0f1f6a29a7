"""Waking the worker's main thread: no ring is ever lost, whatever the moment, and Redis may come and go."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from receiver.connections import connect
from receiver.embedded import EmbeddedRedis
from receiver.settings import QueueSettings
from tests.support.waiting import wait_until
from workers.wakeup import Wakeup

CHANNELS = ["wake:test", "commands:test"]


@pytest.fixture
def wakeup(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> Iterator[Wakeup]:
    with redis_server.client() as connection:
        made = Wakeup(connection, CHANNELS)
        made.wait(0)  # subscribes
        yield made
        made.close()


def is_rung(wakeup: Wakeup) -> bool:
    """Whether the next wait returns at once."""
    return bool(select.select([wakeup._reader], [], [], 0)[0])


def test_a_ring_ends_the_wait(wakeup: Wakeup) -> None:
    wakeup.ring()
    wakeup.ring()
    started = time.monotonic()
    wakeup.wait(30)
    assert time.monotonic() - started < 10
    assert not is_rung(wakeup)


def test_a_ring_in_the_middle_of_waking_up_silences_no_later_one(wakeup: Wakeup) -> None:
    drain = wakeup._drain

    def ring_and_drain() -> None:
        wakeup.ring()  # another thread, at the worst moment
        drain()

    wakeup._drain = ring_and_drain  # type: ignore[method-assign]  # brings about the moment
    wakeup.ring()
    wakeup.wait(0)
    wakeup._drain = drain  # type: ignore[method-assign]  # as it was
    wakeup.ring()
    assert is_rung(wakeup)


def test_no_closing_waits_for_the_next_poll(wakeup: Wakeup) -> None:
    count = 20_000
    reported: deque[int] = deque()
    taken = threading.Semaphore(8)

    def report() -> None:
        for number in range(count):
            taken.acquire()
            reported.append(number)
            wakeup.ring()

    thread = threading.Thread(target=report)
    thread.start()
    got = 0
    slow = 0
    while got < count:
        started = time.monotonic()
        if not reported:
            wakeup.wait(1)
        slow += time.monotonic() - started > 0.9
        while reported:
            assert reported.popleft() == got
            got += 1
            taken.release()
        assert slow < 3, "rings are lost"
    thread.join()


def test_messages_wake_and_are_told_apart(wakeup: Wakeup, redis_client: redis.Redis) -> None:
    while wakeup.wait(0.05):  # Redis confirms the subscriptions
        assert list(wakeup.messages()) == []
    redis_client.publish(CHANNELS[0], "")
    assert wakeup.wait(30)
    assert list(wakeup.messages()) == []
    redis_client.publish(CHANNELS[1], "stop")
    redis_client.publish(CHANNELS[0], "")
    redis_client.publish(CHANNELS[0], "an event")
    redis_client.publish(CHANNELS[1], "go")
    messages: list[tuple[bool, bytes]] = []
    while len(messages) < 3:
        assert wakeup.wait(30)
        messages += wakeup.messages()
    assert messages == [(True, b"stop"), (False, b"an event"), (True, b"go")]
    assert not wakeup.broken


def test_without_redis_it_waits_all_the_same_and_subscribes_again(own_redis: EmbeddedRedis) -> None:
    with connect(QueueSettings(redis_url=own_redis.url), timeout=5, retries=0) as connection:
        wakeup = Wakeup(connection, CHANNELS)
        wakeup.wait(0)
        own_redis.kill()
        while wakeup.wait(0.01):
            assert list(wakeup.messages()) == []
        assert not wakeup.wait(0.01)
        assert wakeup.broken
        wakeup.ring()
        wakeup.wait(30)
        own_redis.start()
        with own_redis.client() as other:
            wait_until(lambda: (wakeup.wait(0), other.publish(CHANNELS[1], "hello"))[1] == 1)
            messages: list[tuple[bool, bytes]] = []
            while not messages:
                assert wakeup.wait(30)
                messages = list(wakeup.messages())
            assert messages == [(True, b"hello")]
        wakeup.close()


def open_files() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_gives_the_descriptors_back(redis_client: redis.Redis) -> None:
    before = open_files()
    for _ in range(5):
        made = Wakeup(redis_client, CHANNELS)
        made.ring()
        made.close()
    assert open_files() == before
