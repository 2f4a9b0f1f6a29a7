"""Wait for Redis messages, other threads and signals at once, in one `select`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import redis
from redis.exceptions import RedisError


class Wakeup:
    """Wakes the worker's main thread.

    ``channels``: Redis channels to listen on; the first one wakes and hands events over, the messages of the others are
    commands. Without a connection the worker still polls. ``broken`` is set when the subscription breaks: messages may
    have been lost with it.
    """

    def __init__(self, connection: redis.Redis, channels: Sequence[str]) -> None:
        self._connection = connection
        self._channels = channels
        self._subscription: Any = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._rung = False
        self._watches_signals = False
        self.broken = False

    def ring(self) -> None:
        """Wake the main thread, from any thread."""
        if not self._rung:
            self._rung = True
            self._write()

    def watch_signals(self) -> None:
        """Let signals wake the main thread too; must be called in it."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._watches_signals = True

    def wait(self, seconds: float) -> bool:
        """Wait for at most ``seconds``. Returns whether Redis has sent something: then read it with `commands`."""
        watched: list[Any] = [self._reader]
        redis_socket = self._redis_socket()
        if redis_socket is not None:
            watched.append(redis_socket)
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._reader in ready:
            # In this order: a ring in between is not written, but what it announces is read after this wait.
            self._drain()
            self._rung = False
        return redis_socket in ready

    def messages(self) -> Iterator[tuple[bool, bytes]]:
        """Read what Redis has sent, one by one: whether it is a command, and the message; not the empty ones."""
        try:
            while (message := self._subscription.get_message(timeout=0)) is not None:
                if message["type"] == "message" and message["data"]:
                    yield message["channel"] != self._channels[0].encode(), message["data"]
        except (RedisError, OSError):
            self._unsubscribe()

    def renew(self) -> None:
        """Subscribe anew, since Redis may have moved: a server that was demoted or cut off keeps silent."""
        self._unsubscribe()

    def close(self) -> None:
        """Give everything back."""
        if self._watches_signals:
            signal.set_wakeup_fd(-1)
        self._unsubscribe()
        os.close(self._reader)
        os.close(self._writer)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._writer, b"!")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def _redis_socket(self) -> Any:
        try:
            if self._subscription is None:
                self._subscription = self._connection.pubsub()  # type: ignore[no-untyped-call]  # redis-py's own gap
                self._subscription.subscribe(*self._channels)
            return self._subscription.connection._sock  # noqa: SLF001  # redis-py offers no way to select on it
        except (RedisError, OSError, AttributeError):
            self._unsubscribe()
            return None

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self.broken = True
            with contextlib.suppress(RedisError, OSError):
                subscription.close()
