"""Find what the platform sent and we lack, and have it sent again: the command `reconcile`, and what workers do.

A delivery counts as missing when its event was never accepted, or so long ago that its id is forgotten. Asking is
idempotent: an event that has arrived is known, and one that was asked for is not asked for again for a while.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis

from receiver.client import HiloopClient, WebhookDelivery
from receiver.errors import HiloopError
from receiver.layout import Layout
from receiver.ledger import Ledger

# For so long after it was asked for, a delivery is not asked for again: the platform may be slow (seconds).
ASKED_SECONDS: Final = 600
# Refusals that concern one delivery alone; any other failure would meet the next one too.
_REFUSALS: Final = frozenset({404, 409, 422})
_PAGE: Final = 100
_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Report:
    """What came of comparing. All numbers are of events.

    ``checked``: on the platform's list. ``known``: accepted by us. ``on_their_way``: not tried by the platform yet.
    ``asked``: redelivery asked for. ``arrived``: of these, those that have been accepted since. ``refused``: the
    platform would not send them. ``left``: missing, but not asked for (the budget was used up, or asked already).
    ``webhooks``: to how many webhooks the deliveries went that were looked at. ``stopped``: why it ended early (an
    error's code), or empty.
    """

    checked: int = 0
    known: int = 0
    on_their_way: int = 0
    asked: int = 0
    arrived: int = 0
    refused: int = 0
    left: int = 0
    webhooks: int = 0
    stopped: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing any more."""
        return not self.stopped and self.asked == self.arrived and not self.refused and not self.left

    def as_json(self) -> dict[str, Any]:
        """As the command line's JSON shows it."""
        return {**asdict(self), "complete": self.complete}


class Reconciliation:
    """Compares one agent's deliveries with what one queue has accepted. ``webhooks``: those that lead to it, by id; of
    deliveries to others nothing is missing here. Empty: all lead here.
    """

    def __init__(
        self,
        client: HiloopClient,
        connection: redis.Redis,
        layout: Layout,
        *,
        webhooks: Collection[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._redis: Any = connection
        self._layout = layout
        self._ledger = Ledger(connection, layout)
        self._webhooks = frozenset(webhooks)
        self._now = now
        self._clock = clock
        self._sleep = sleep

    def run(
        self,
        *,
        since: timedelta,
        wait: float = 60.0,
        budget: int = 1000,
        dry_run: bool = False,
        watch: Callable[[Report], None] = lambda _report: None,
    ) -> Report:
        """Compare deliveries that are at most ``since`` old, ask for at most ``budget`` of those that are missing, and
        wait up to ``wait`` seconds until they have arrived. ``watch`` is told every step.

        Raises `redis.RedisError`, and `HiloopError` where the platform cannot be asked at all; an error in the middle
        (429, for example) ends the asking and stands in the report.
        """
        report = Report()
        missing: dict[str, WebhookDelivery] = {}
        targets: set[str | None] = set()
        for chunk in _chunks(self._deliveries(since, targets)):
            known = self._ledger.known(list(chunk))
            lacking = {event: one for event, one in chunk.items() if event not in known}
            waiting = [event for event, one in lacking.items() if one.status == "Pending" and not one.attempts]
            missing |= {event: one for event, one in lacking.items() if event not in waiting}
            report = replace(
                report,
                checked=report.checked + len(chunk),
                known=report.known + len(known),
                on_their_way=report.on_their_way + len(waiting),
                webhooks=len(targets),
            )
            watch(report)
        if dry_run:
            return replace(report, left=len(missing))
        report, asked = self._ask(report, missing, budget, watch)
        return self._wait(report, asked, self._clock() + wait, watch)

    def note(self, report: Report, lasting: int) -> None:
        """Leave ``report`` and the platform's statistics in Redis, for ``lasting`` seconds, for the web process."""
        stats = self._client.get_webhook_delivery_stats()
        key = self._layout.own("platform")
        noted = {"at": time.time(), "report": json.dumps(report.as_json()), "stats": json.dumps(dict(stats.raw))}
        self._redis.hset(key, mapping=noted)
        self._redis.expire(key, lasting)

    def _deliveries(self, since: timedelta, targets: set[str | None]) -> Iterator[WebhookDelivery]:
        """Those that may lead here, the latest first; ``targets`` gets their webhooks."""
        start = self._now() - since
        for delivery in self._client.list_webhook_deliveries(limit=_PAGE):
            if delivery.created_at < start:
                return
            if not self._webhooks or delivery.webhook_id in self._webhooks:
                targets.add(delivery.webhook_id)
                yield delivery

    def _ask(
        self, report: Report, missing: dict[str, WebhookDelivery], budget: int, watch: Callable[[Report], None]
    ) -> tuple[Report, set[str]]:
        asked: set[str] = set()
        # The oldest first, as the platform would have sent them.
        in_order = sorted(missing.items(), key=lambda pair: pair[1].created_at)
        for number, (event, delivery) in enumerate(in_order):
            if len(asked) >= budget:
                return replace(report, left=report.left + len(in_order) - number), asked
            if not self._redis.set(self._layout.own(f"asked:{event}"), delivery.id, nx=True, ex=ASKED_SECONDS):
                report = replace(report, left=report.left + 1)
                continue
            try:
                self._client.retry_webhook_delivery(delivery.id)
            except HiloopError as error:
                self._redis.delete(self._layout.own(f"asked:{event}"))
                if error.status not in _REFUSALS:
                    left = report.left + len(in_order) - number
                    return replace(report, left=left, stopped=error.code), asked
                report = replace(report, refused=report.refused + 1)
            else:
                asked.add(event)
                report = replace(report, asked=report.asked + 1)
            watch(report)
        return report, asked

    def _wait(self, report: Report, asked: set[str], deadline: float, watch: Callable[[Report], None]) -> Report:
        if asked:
            self._redis.hincrby(self._layout.own("counters"), "asked_again", len(asked))
        while asked:
            arrived = self._ledger.known(sorted(asked))
            asked -= arrived
            report = replace(report, arrived=report.arrived + len(arrived))
            for event in arrived:
                self._redis.delete(self._layout.own(f"asked:{event}"))
            watch(report)
            if not asked or self._clock() >= deadline:
                break
            self._sleep(_LOOK_SECONDS)
        return report


def _chunks(deliveries: Iterable[WebhookDelivery]) -> Iterator[dict[str, WebhookDelivery]]:
    """Deliveries by event, some at a time; of several of one event (several webhooks) the first."""
    seen: set[str] = set()
    chunk: dict[str, WebhookDelivery] = {}
    for delivery in deliveries:
        if delivery.event_id is None or delivery.event_id in seen:
            continue
        seen.add(delivery.event_id)
        chunk[delivery.event_id] = delivery
        if len(chunk) == _PAGE:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk
