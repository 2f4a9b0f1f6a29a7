"""A worker compares with the platform by itself: at its start and every few minutes, one worker at a time.

Agents are those that the settings name, and those whose events were handled lately.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import redis

from receiver.keyring import KeyPair
from receiver.ledger import SCAN_LIMIT, Ledger
from receiver.logs import get_logger
from receiver.settings import WorkerSettings
from receiver.stored import Filter
from workers.background import BackgroundTask

if TYPE_CHECKING:
    from workers.reconcile import Report

logger = get_logger()

# How far back the list of deliveries is read, and how many redeliveries are asked for at a time.
SINCE: Final = timedelta(hours=24)
BUDGET: Final = 200
WAIT_SECONDS: Final = 20.0


class Reconciler(BackgroundTask):
    """Compares every ``settings.reconcile`` seconds while the worker runs."""

    def __init__(self, settings: WorkerSettings, connection: redis.Redis, pairs: Sequence[KeyPair]) -> None:
        lease = settings.layout.own("reconciler")
        super().__init__("reconcile", connection, lease=lease, interval=settings.reconcile)
        self._settings = settings
        self._pairs = pairs

    def work(self) -> None:
        """Compare for each agent. Raises `HiloopError` where the platform cannot be asked."""
        for agent in self._agents():
            self._compare(agent)

    def _keep_on(self, _report: Report) -> None:
        self.keep_lease()

    def _agents(self) -> list[str]:
        ledger = Ledger(self._redis, self._settings.layout)
        lately = {
            event.agent
            for status in ("handled", "failed")
            for event in ledger.page(Filter(status=status), limit=SCAN_LIMIT).events
        }
        return sorted({self._settings.agent_name, *lately} - {""})

    def _compare(self, agent: str) -> None:
        # The client is imported here: a worker that needs no platform saves its memory.
        from receiver.client import HiloopClient, Retries
        from workers.platform_notes import note_deliveries
        from workers.reconcile import Reconciliation

        settings = self._settings
        # Impatient: what does not work now is left to the next time, and so is a platform that wants to rest (429).
        patience = Retries(attempts=2, longest_wait=2.0)
        with HiloopClient(
            settings.api_key, agent, base_url=settings.base_url, agent_keys=self._pairs, retries=patience
        ) as client:
            reconciliation = Reconciliation(client, self._redis, settings.layout, webhooks=settings.webhooks)
            report = reconciliation.run(since=SINCE, wait=WAIT_SECONDS, budget=BUDGET, watch=self._keep_on)
            reconciliation.note(report, int(settings.reconcile * 10) + 60)
            note_deliveries(client, agent, self._redis, settings.layout)
        if report.asked or report.stopped:
            logger.info(
                "compared with the platform",
                agent=agent,
                checked=report.checked,
                asked=report.asked,
                arrived=report.arrived,
                left=report.left,
                stopped=report.stopped,
            )
