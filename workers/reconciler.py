"""A worker compares with the platform by itself: at its start and every few minutes, one worker at a time.

It runs in a thread of its own, and whatever goes wrong is one line in the log: events that do arrive are handled all
the same. Agents are those that the settings name, and those whose events were handled lately.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import redis
from redis.exceptions import RedisError

from receiver.errors import HiloopError
from receiver.keyring import KeyPair
from receiver.layout import Layout
from receiver.ledger import SCAN_LIMIT, Ledger
from receiver.settings import WorkerSettings
from receiver.stored import Filter

logger = logging.getLogger("hiloop.reconcile")

# A worker that dies while it compares keeps the others from it for so long (ms).
LEASE_MS: Final = 60_000
# How far back the list of deliveries is read, and how many redeliveries are asked for at a time.
SINCE: Final = timedelta(hours=24)
BUDGET: Final = 200
WAIT_SECONDS: Final = 20.0
# Deletes the lease only if it is still ours.
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Reconciler(threading.Thread):
    """Compares every ``settings.reconcile`` seconds while the worker runs. ``connection`` is of this thread alone."""

    def __init__(self, settings: WorkerSettings, connection: redis.Redis, pairs: Sequence[KeyPair]) -> None:
        super().__init__(name="reconcile", daemon=True)
        self._settings = settings
        self._layout: Layout = settings.layout
        self._redis: Any = connection
        self._pairs = pairs
        self._owner = uuid4().hex
        self._stopped = threading.Event()

    def run(self) -> None:
        """Compare at once, then again and again until `stop`."""
        while True:
            try:
                self._compare_alone()
            except HiloopError as error:
                logger.warning("the platform cannot be asked: code=%s status=%s", error.code, error.status)
            except (RedisError, OSError) as error:
                logger.warning("redis is not available: error=%s", type(error).__name__)
            except Exception as error:  # noqa: BLE001  # comparing must never harm the worker
                logger.warning("comparing failed: error=%s", type(error).__name__)
            if self._stopped.wait(self._settings.reconcile):
                return

    def stop(self) -> None:
        """End after what is under way."""
        self._stopped.set()

    def _compare_alone(self) -> None:
        lease = self._layout.own("reconciler")
        if not self._redis.set(lease, self._owner, nx=True, px=LEASE_MS):
            return
        try:
            for agent in self._agents():
                self._compare(agent)
        finally:
            self._redis.eval(_RELEASE, 1, lease, self._owner)

    def _agents(self) -> list[str]:
        ledger = Ledger(self._redis, self._layout)
        lately = {
            event.agent
            for status in ("handled", "failed")
            for event in ledger.page(Filter(status=status), limit=SCAN_LIMIT).events
        }
        return sorted({self._settings.agent_name, *lately} - {""})

    def _compare(self, agent: str) -> None:
        # The client is imported here: a worker that needs no platform saves its memory.
        from receiver.client import HiloopClient, Retries
        from workers.reconcile import Reconciliation

        settings = self._settings
        lease = self._layout.own("reconciler")
        # Impatient: what does not work now is left to the next time, and so is a platform that wants to rest (429).
        patience = Retries(attempts=2, longest_wait=2.0)
        with HiloopClient(
            settings.api_key, agent, base_url=settings.base_url, agent_keys=self._pairs, retries=patience
        ) as client:
            reconciliation = Reconciliation(client, self._redis, self._layout)
            report = reconciliation.run(
                since=SINCE,
                wait=WAIT_SECONDS,
                budget=BUDGET,
                watch=lambda _report: self._redis.pexpire(lease, LEASE_MS),
            )
            reconciliation.note(report, int(settings.reconcile * 10) + 60)
        if report.asked or report.stopped:
            logger.info(
                "compared with the platform: agent=%r checked=%d asked=%d arrived=%d left=%d stopped=%s",
                agent,
                report.checked,
                report.asked,
                report.arrived,
                report.left,
                report.stopped or "no",
            )
