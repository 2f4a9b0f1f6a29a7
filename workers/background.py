"""What a worker does regularly beside its events, in a thread of its own: one worker of all at a time does it.

Whatever goes wrong there is one line in the log: events that arrive are handled all the same.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any, Final
from uuid import uuid4

import redis
from redis.exceptions import RedisError

from receiver.errors import HiloopError
from receiver.logs import get_logger
from receiver.places import describe

logger = get_logger()

# A worker that dies at the task keeps the others from it for so long (ms).
LEASE_MS: Final = 60_000
# Do something with a lease only if it is still ours.
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_EXTEND: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)


class BackgroundTask(threading.Thread, ABC):
    """Does its work at once, then every ``interval`` seconds until `stop`, whenever no other worker is at it.

    ``connection`` may be shared by all tasks. ``lease`` is the key by which workers keep each other off.
    """

    def __init__(self, name: str, connection: redis.Redis, *, lease: str, interval: float) -> None:
        super().__init__(name=name, daemon=True)
        self._redis: Any = connection
        self._lease = lease
        self._interval = interval
        self._owner = uuid4().hex
        self._stopped = threading.Event()

    @abstractmethod
    def work(self) -> None:
        """One round. What it raises is logged by its type, never by its text, and ends the round only."""

    def is_due(self) -> bool:
        """Whether there is anything to do; asked before the lease is taken."""
        return True

    def run(self) -> None:
        """Round after round."""
        while True:
            try:
                self._work_alone()
            except HiloopError as error:
                logger.warning("the platform cannot be asked", task=self.name, code=error.code, status=error.status)
            except (RedisError, OSError) as error:
                logger.warning("redis is not available", task=self.name, error=type(error).__name__)
            except Exception as error:  # noqa: BLE001  # it must never harm the worker
                logger.warning("a task has failed", task=self.name, error=describe(error))
            if self._stopped.wait(self._interval):
                return

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopped.set()

    def keep_lease(self) -> bool:
        """Hold the others off for longer, in a round that may take long. Returns whether the lease is still ours."""
        return bool(self._redis.eval(_EXTEND, 1, self._lease, self._owner, LEASE_MS))

    def _work_alone(self) -> None:
        if not self.is_due() or not self._redis.set(self._lease, self._owner, nx=True, px=LEASE_MS):
            return
        try:
            self.work()
        finally:
            self._redis.eval(_RELEASE, 1, self._lease, self._owner)
