"""Deliver events to webhooks: signed, in the order of their session, retried on a schedule, with faults on demand.

Each session has a lane for each webhook. The first attempt of an event is made when the first attempt of the one
before it has ended; an event that fails leaves its lane and comes back by the schedule, so it can be overtaken.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

import httpx

from receiver.sandbox.clock import Clock, timestamp
from receiver.sandbox.faults import Faults
from receiver.sandbox.feed import DELIVERY_ATTEMPTED, Feed
from receiver.sandbox.ids import new_id
from receiver.sandbox.records import Delivery, Event, Webhook
from receiver.sandbox.state import State
from receiver.signature import sign

logger = logging.getLogger(__name__)

TIMEOUT: Final = 10.0  # seconds an endpoint has for its answer
RETRY_DELAYS: Final = (5.0, 30.0, 120.0, 600.0, 3600.0)  # seconds after the first, second, … failure
JITTER: Final = (0.8, 1.2)
_PATIENCE: Final = 1.0  # wall-clock seconds that an endpoint and a reordered event get at any speed
_REORDER_WAIT: Final = 5.0  # seconds an event waits for one that overtakes it
_CONNECTIONS: Final = 50
_LONGEST_ANSWER: Final = 65536  # bytes that are read of an endpoint's answer

Lane = asyncio.Queue[Delivery]


class Deliverer:
    """Brings events to all webhooks whose scope covers them. Lives in one event loop, from `start` to `stop`."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        faults: Faults,
        rng: random.Random,
        feed: Feed,
        changed: Callable[[], None],
    ) -> None:
        self._state = state
        self._clock = clock
        self._faults = faults
        self._rng = rng
        self._feed = feed
        self._changed = changed
        self._lanes: dict[tuple[str, str | None], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._in_flight: set[str] = set()
        # Only what the user has configured is called: no proxies, no redirects.
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=None,  # noqa: S113  # `_post` limits the whole, and httpx could only limit the parts
            limits=httpx.Limits(max_connections=_CONNECTIONS),
        )

    def start(self) -> None:
        """Go on with what was pending when the sandbox was stopped."""
        for delivery in self._state.deliveries.values():
            if delivery.status == "Pending":
                self._enter_lane(delivery)

    async def stop(self) -> None:
        """Break off all that is under way; what is pending stays pending."""
        tasks = [*self._tasks, *self._timers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def deliver(self, event: Event, only: Webhook | None = None) -> list[Delivery]:
        """Send ``event`` to every matching webhook, or to ``only`` this one."""
        webhooks = [only] if only else [each for each in self._state.webhooks.values() if each.covers(event)]
        return [self._enter_lane(self._new(event, webhook)) for webhook in webhooks]

    def retry(self, delivery: Delivery) -> None:
        """Send again at once, whatever its status is, with the whole schedule ahead of it."""
        if delivery.id in self._in_flight:
            return
        timer = self._timers.pop(delivery.id, None)
        if timer is not None:
            timer.cancel()
        elif delivery.status == "Pending":
            return  # its lane is about to send it
        delivery.status, delivery.step, delivery.next_retry_at = "Pending", 0, timestamp()
        self._changed()
        self._run(self._attempt(delivery))

    def request_of(self, delivery: Delivery) -> dict[str, str | None]:
        """What a webhook gets with ``delivery``, as the API shows it: None where the webhook is there no more."""
        webhook = self._state.webhooks.get(delivery.webhook_id)
        if webhook is None:
            return {"payload": None, "signature": None}
        body = payload(self._state.events[delivery.event_id], delivery)
        return {"payload": body.decode(), "signature": sign(webhook.secret.encode(), body)}

    def _new(self, event: Event, webhook: Webhook) -> Delivery:
        delivery = Delivery(
            new_id("dlv_"), webhook.id, event.id, event.type, event.session_id, event.agent_id, timestamp()
        )
        self._state.deliveries[delivery.id] = delivery
        self._changed()
        return delivery

    def _enter_lane(self, delivery: Delivery) -> Delivery:
        key = (delivery.webhook_id, delivery.session_id)
        if key not in self._lanes:
            self._lanes[key] = asyncio.Queue()
            self._run(self._drive(key, self._lanes[key]))
        self._lanes[key].put_nowait(delivery)
        return delivery

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive(self, key: tuple[str, str | None], lane: Lane) -> None:
        while not lane.empty():
            delivery = lane.get_nowait()
            if self._faults.take(delivery.webhook_id, "reorder"):
                await self._let_overtake(lane)
            await self._attempt(delivery)
        del self._lanes[key]

    async def _let_overtake(self, lane: Lane) -> None:
        try:
            async with asyncio.timeout(self._clock.real(_REORDER_WAIT, at_least=_PATIENCE)):
                overtaker = await lane.get()
        except TimeoutError:
            return
        await self._attempt(overtaker)

    async def _attempt(self, delivery: Delivery) -> None:
        webhook = self._state.webhooks.get(delivery.webhook_id)
        if webhook is None:
            self._failed(delivery, None, "the webhook was removed", final=True)
            return
        if delivery.id in self._in_flight:
            return
        self._in_flight.add(delivery.id)
        try:
            delay = self._faults.take(webhook.id, "delay")
            if delay:
                await self._clock.sleep(delay.seconds)
            delivery.attempts += 1
            delivery.next_retry_at = None
            status, error, latency = await self._send(webhook, delivery)
        finally:
            self._in_flight.discard(delivery.id)
        logger.info("delivery %s attempt %d: %s", delivery.id, delivery.attempts, status or error)
        if error is None:
            delivery.status, delivery.delivered_at, delivery.latency_ms = "Delivered", timestamp(), latency
            delivery.last_status_code, delivery.last_error = status, None
            self._note(delivery)
        else:
            self._failed(delivery, status, error)

    def _failed(self, delivery: Delivery, status: int | None, error: str, *, final: bool = False) -> None:
        delivery.last_status_code, delivery.last_error = status, error
        if final or delivery.step >= len(RETRY_DELAYS):
            delivery.status, delivery.next_retry_at = "Failed", None
        else:
            delay = RETRY_DELAYS[delivery.step] * self._rng.uniform(*JITTER)
            delivery.step += 1
            delivery.next_retry_at = self._clock.in_future(delay)
            self._timers[delivery.id] = asyncio.create_task(self._later(delivery, delay))
        self._note(delivery)

    def _note(self, delivery: Delivery) -> None:
        self._changed()
        self._feed.publish(DELIVERY_ATTEMPTED, delivery.session_id, delivery=delivery.as_json())

    async def _later(self, delivery: Delivery, delay: float) -> None:
        await self._clock.sleep(delay)
        # From here on a retry by hand must not cancel it: it is an attempt like any other.
        self._run(self._attempt(delivery))
        del self._timers[delivery.id]

    async def _send(self, webhook: Webhook, delivery: Delivery) -> tuple[int | None, str | None, float]:
        """One attempt: the status of the answer, what went wrong if something did, and how long it took (ms)."""
        if self._faults.take(webhook.id, "drop"):
            return None, "lost on the way (a fault of the sandbox)", 0.0
        body = payload(self._state.events[delivery.event_id], delivery)
        forged = self._faults.take(webhook.id, "wrong-signature")
        headers = {
            "Authorization": f"Bearer {webhook.token}",
            "X-Hiloop-Signature": sign(secrets.token_bytes(32) if forged else webhook.secret.encode(), body),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": "hiloop-sandbox/1",
        }
        if self._faults.take(webhook.id, "silence"):
            return await self._post(webhook.url, _half_of(body), headers)
        if self._faults.take(webhook.id, "duplicate"):
            first, _ = await asyncio.gather(*(self._post(webhook.url, body, headers) for _ in range(2)))
            return first
        return await self._post(webhook.url, body, headers)

    async def _post(
        self, url: str, content: bytes | AsyncIterator[bytes], headers: dict[str, str]
    ) -> tuple[int | None, str | None, float]:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._clock.real(TIMEOUT, at_least=_PATIENCE)):
                async with self._client.stream("POST", url, content=content, headers=headers) as answer:
                    status, good = answer.status_code, answer.is_success
                    await _skip_body(answer)
        except TimeoutError:
            return None, f"no answer within {TIMEOUT:g} s", 0.0
        except httpx.HTTPError as error:
            return None, f"could not be reached ({type(error).__name__})", 0.0
        latency = (time.perf_counter() - started) * 1000
        return status, None if good else f"the endpoint answered {status}", latency


async def _skip_body(answer: httpx.Response) -> None:
    """Read what little an endpoint says, so that the connection can be used again; leave an endless body."""
    length = 0
    async for chunk in answer.aiter_raw():
        length += len(chunk)
        if length > _LONGEST_ANSWER:
            return


async def _half_of(body: bytes) -> AsyncIterator[bytes]:
    """Half of ``body`` and then nothing: the timeout of the attempt hangs up."""
    yield body[: len(body) // 2]
    await asyncio.get_running_loop().create_future()


def payload(event: Event, delivery: Delivery) -> bytes:
    """The body of the request for the coming attempt of ``delivery``."""
    return json.dumps(
        {
            "id": event.id,
            "type": event.type,
            "createdAt": event.created_at,
            "deliveryId": delivery.id,
            "attempt": delivery.attempts,
            "spaceId": event.space_id,
            "agentId": event.agent_id,
            "agentName": event.agent_name,
            "sessionId": event.session_id,
            "priority": event.priority,
            "data": event.data,
        },
        separators=(",", ":"),
    ).encode()


def statistics(deliveries: list[Delivery], since: str) -> dict[str, Any]:
    """Totals of ``deliveries``. ``successRate`` (0 to 1) and ``averageLatencyMs`` are None while none has ended."""
    counts = Counter(delivery.status for delivery in deliveries)
    ended = counts["Delivered"] + counts["Failed"]
    latencies = [each.latency_ms for each in deliveries if each.latency_ms is not None]
    return {
        "total": len(deliveries),
        "pending": counts["Pending"],
        "delivered": counts["Delivered"],
        "failed": counts["Failed"],
        "successRate": counts["Delivered"] / ended if ended else None,
        "averageLatencyMs": round(sum(latencies) / len(latencies), 3) if latencies else None,
        "since": since,
    }
