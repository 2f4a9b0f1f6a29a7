"""A worker carries out what the dashboard has ordered, one order at a time, the oldest first.

An order stays first in line until it is done, so one whose worker was killed is gone on with by the next. What it has
done by then it leaves alone: an event that was put back has not ended before the order was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import redis

from receiver.errors import HiloopError, InvalidOrder
from receiver.keyring import KeyPair
from receiver.logs import get_logger
from receiver.orders import Order, Orders
from receiver.settings import WorkerSettings
from workers.background import BackgroundTask

if TYPE_CHECKING:
    from receiver.client import HiloopClient
    from receiver.stored import StoredEvent

logger = get_logger()

POLL_SECONDS: Final = 1.0
# The most that one order touches, the events accepted first; so a worker's memory stays bounded.
MOST_EVENTS: Final = 10_000
# An order at which so many workers ended is not tried again.
MOST_TRIES: Final = 3
# Refusals that concern one delivery alone; any other failure would meet the next one too.
_REFUSALS: Final = frozenset({404, 409, 422})

Tell = Callable[[int, int], None]


class _LeaseLost(Exception):
    """Another worker is at it now."""


class OrderTask(BackgroundTask):
    """Looks for orders about every second."""

    def __init__(self, settings: WorkerSettings, connection: redis.Redis, pairs: Sequence[KeyPair]) -> None:
        super().__init__("orders", connection, lease=settings.layout.own("orderly"), interval=POLL_SECONDS)
        self._settings = settings
        self._pairs = pairs
        self._orders = Orders(connection, settings.layout)

    def is_due(self) -> bool:
        """Whether an order waits."""
        return self._orders.waiting() > 0

    def work(self) -> None:
        """Carry out what waits."""
        while not self._stopped.is_set() and (order_id := self._orders.first()) is not None:
            try:
                self._carry_out(order_id)
            except _LeaseLost:
                return

    def _carry_out(self, order_id: str) -> None:
        state = self._orders.state(order_id)
        if state is None or state.order is None:
            logger.warning("dropped an order that is none", order=order_id)
            self._orders.end(order_id, "refused", problem="unreadable")
            return
        order = state.order
        if self._orders.begin(order_id) > MOST_TRIES:
            logger.warning("dropped an order at which workers ended", order=order_id, by=order.by)
            self._orders.end(order_id, "failed", problem="worker_lost")
            return

        def tell(done: int, total: int) -> None:
            self._orders.progress(order_id, done, total)
            self._stay()

        try:
            result = self._act(order, tell)
        except InvalidOrder as error:
            logger.warning("refused an order", order=order_id, by=order.by, why=str(error))
            self._orders.end(order_id, "refused", problem=str(error))
            return
        except HiloopError as error:
            logger.warning("an order failed", order=order_id, by=order.by, code=error.code)
            self._orders.end(order_id, "failed", problem=error.code)
            return
        logger.info("carried out", order=order_id, kind=order.kind, by=order.by, **result)
        self._orders.end(order_id, "done", result)

    def _act(self, order: Order, tell: Tell) -> dict[str, int]:
        if order.kind in ("replay", "discard"):
            return self._move_events(order, tell)
        return self._ask_platform(order, tell)

    def _move_events(self, order: Order, tell: Tell) -> dict[str, int]:
        # Imported here, as below: most workers are never given an order, and save the memory.
        from workers.replay import Replays, handlers_named

        replays = Replays(self._redis, self._settings.layout)
        chosen = self._chosen(order)
        total = len(chosen)
        tell(0, total)
        if order.kind == "discard":
            outcome = replays.discard(chosen, watch=lambda done: tell(done, total))
        else:
            names = handlers_named(chosen, order.wanted.handler if order.wanted else None)
            why = order.why or "dashboard"
            outcome = replays.run(chosen, reason=why, handlers=names, watch=lambda done: tell(done, total))
        return {"done": outcome.done, "gone": outcome.gone, "without_body": outcome.without_body}

    def _chosen(self, order: Order) -> list[StoredEvent]:
        from receiver.ledger import Ledger
        from workers.replay import first_accepted

        ledger = Ledger(self._redis, self._settings.layout)
        if order.wanted is None:
            found = [ledger.event(one) for one in order.ids]
            meant = [event for event in found if event is not None and event.status in ("failed", "handled")]
            return first_accepted((event for event in meant if order.covers(event.ended_at)), MOST_EVENTS)
        each = self._staying(ledger.each(order.wanted))
        return first_accepted((event for event in each if order.covers(event.ended_at)), MOST_EVENTS)

    def _staying(self, events: Iterator[StoredEvent]) -> Iterator[StoredEvent]:
        for number, event in enumerate(events):
            if number % 1000 == 0:
                self._stay()
            yield event

    def _ask_platform(self, order: Order, tell: Tell) -> dict[str, int]:
        from receiver.client import HiloopClient, Retries
        from workers.platform_notes import note_deliveries

        if not self._settings.api_key:
            raise InvalidOrder("this worker has no HILOOP_API_KEY, which asking the platform needs")
        agent = order.agent or self._settings.agent_name
        if not agent:
            raise InvalidOrder("no agent is named; set HILOOP_AGENT_NAME")
        patience = Retries(attempts=2, longest_wait=2.0)
        with HiloopClient(
            self._settings.api_key,
            agent,
            base_url=self._settings.base_url,
            agent_keys=self._pairs,
            retries=patience,
        ) as client:
            result = _redeliver(client, order.ids, tell) if order.kind == "redeliver" else {}
            noted = note_deliveries(client, agent, self._redis, self._settings.layout)
        return result or {"listed": noted}

    def _stay(self) -> None:
        if not self.keep_lease():
            raise _LeaseLost


def _redeliver(client: HiloopClient, ids: Sequence[str], tell: Tell) -> dict[str, int]:
    """Asking twice for one delivery is harmless: its event is known by then, and counts as a duplicate."""
    result = {"asked": 0, "refused": 0}
    for number, delivery_id in enumerate(ids):
        tell(number, len(ids))
        try:
            client.retry_webhook_delivery(delivery_id)
            result["asked"] += 1
        except HiloopError as error:
            if error.status not in _REFUSALS:
                raise
            result["refused"] += 1
    tell(len(ids), len(ids))
    return result
