"""Take events off the platform's list of deliveries, where no webhook can reach us: what the command `listen` wraps.

Each delivery becomes a request to the web application in this process, so it is verified, accepted and counted by the
very code that takes webhooks. Only the bearer token, which no delivery carries, is of this process's own making.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from redis.exceptions import RedisError

from receiver.app import ACCEPT_TIMEOUT, WEBHOOK_PATH, create_app, open_inbox
from receiver.client import AsyncHiloopClient, HiloopError, NotFound, WebhookDelivery
from receiver.client.profile_v1 import PAYLOAD
from receiver.client.retries import is_transient
from receiver.connections import connect_async
from receiver.demands import check_redis
from receiver.settings import WebSettings

# Seconds between two looks at the list: at first, and where nothing comes for a while.
SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 3.0
_SLOWER: Final = 1.3
INSTEAD: Final = (
    "let a tunnel (cloudflared, ngrok, …) lead to `hiloop-receiver web` and give its address to Admin > Webhooks; "
    "or develop against `hiloop-receiver sandbox`"
)
# A delivery may appear on the list a little later than one that was created after it.
_OVERLAP: Final = timedelta(seconds=5)
_PAGE: Final = 20
_REMEMBERED: Final = timedelta(days=30)
BEFORE_ALL: Final = datetime.fromtimestamp(0, UTC)
_TAKEN_IN: Final = frozenset({200, 202})
# Answers of the application after which the same delivery is handed to it again.
_LATER: Final = frozenset({408, 429, 503})


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery, and the web application's answer to it: an HTTP status; None if the platform has no body any more."""

    delivery: WebhookDelivery
    status: int | None

    @property
    def comes_again(self) -> bool:
        """Whether it could not be taken in now, and is tried again."""
        return self.status in _LATER


@dataclass(frozen=True, slots=True)
class Trouble:
    """The platform cannot be asked now; it is again after ``pause`` seconds."""

    error: HiloopError
    pause: float


class Listener:
    """Follows one agent's deliveries. ``webhooks``: only those to these webhooks (by id), all if empty.

    ``receiver`` posts to the web application, ``connection`` keeps in Redis how far we are.
    """

    def __init__(
        self,
        client: AsyncHiloopClient,
        receiver: httpx.AsyncClient,
        connection: Any,
        bookmark: str,
        *,
        webhooks: Collection[str] = (),
    ) -> None:
        self._client = client
        self._receiver = receiver
        self._redis = connection
        self._bookmark = bookmark
        self._webhooks = frozenset(webhooks)
        self.is_empty = False  # whether there was no delivery at all at the start
        self._begin = self._reached = BEFORE_ALL
        self._seen: dict[str, datetime] = {}

    async def start(self, since: datetime | None = None) -> datetime | None:
        """Begin at ``since``, else where the last one stopped, else with what comes from now on (None), and then again
        there as long as nothing could be taken in.

        Raises `HiloopError` where the platform cannot be asked, or tells no bodies; and `redis.RedisError`.
        """
        newest = (await self._client.list_webhook_deliveries(limit=1)).items
        self.is_empty = not newest
        if newest:
            await self._fetch(newest[0].id)
        begin = since or await self._last()
        if begin is not None:
            self._begin = self._reached = begin
            return begin
        if newest:
            self._begin = self._reached = newest[0].created_at
            for delivery in await self._new():
                self._see(delivery)
        await self._keep(self._reached)
        return None

    async def follow(self) -> AsyncIterator[Taken | Trouble]:
        """What comes, for ever. Raises the `HiloopError` that waiting does not mend."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                async for taken in self._round():
                    yield taken
                    pause = LONGEST_PAUSE if taken.comes_again else SHORTEST_PAUSE / _SLOWER
                pause = min(LONGEST_PAUSE, pause * _SLOWER)
            except HiloopError as error:
                if not is_transient(error):
                    raise
                # What the platform asks for with 429 comes first.
                pause = max(error.retry_after or 0.0, LONGEST_PAUSE)
                yield Trouble(error, pause)
            await asyncio.sleep(pause)

    async def _round(self) -> AsyncIterator[Taken]:
        for listed in await self._new():
            taken = await self._take(listed)
            if not taken.comes_again:
                self._see(listed)
                if taken.status in _TAKEN_IN:
                    await self._keep(listed.created_at)
            yield taken
            if taken.comes_again:
                return  # those behind it keep their order

    async def _new(self) -> list[WebhookDelivery]:
        """Deliveries that were not seen yet, the oldest first."""
        oldest, found = max(self._begin, self._reached - _OVERLAP), []
        async for delivery in await self._client.list_webhook_deliveries(limit=_PAGE):
            if delivery.created_at < oldest:
                break
            if delivery.id not in self._seen and (not self._webhooks or delivery.webhook_id in self._webhooks):
                found.append(delivery)
        return found[::-1]

    async def _take(self, listed: WebhookDelivery) -> Taken:
        try:
            delivery = await self._fetch(listed.id)
        except NotFound:
            return Taken(listed, None)
        if delivery.payload is None:
            return Taken(delivery, None)
        # Bytes, since a platform may name anything: what cannot be a signature is refused as a wrong one.
        signed = {b"X-Hiloop-Signature": (delivery.signature or "").encode()}
        answer = await self._receiver.post(WEBHOOK_PATH, content=delivery.payload.encode(), headers=signed)
        return Taken(delivery, answer.status_code)

    async def _fetch(self, delivery_id: str) -> WebhookDelivery:
        delivery = await self._client.get_webhook_delivery(delivery_id)
        if PAYLOAD not in delivery.raw:
            raise HiloopError("it lists deliveries, but does not tell what is in them", code="no_payload", hint=INSTEAD)
        return delivery

    def _see(self, delivery: WebhookDelivery) -> None:
        self._seen[delivery.id] = delivery.created_at
        if delivery.created_at > self._reached:
            self._reached = delivery.created_at
            oldest = self._reached - _OVERLAP
            self._seen = {one: created for one, created in self._seen.items() if created >= oldest}

    async def _last(self) -> datetime | None:
        kept: bytes | None = await self._redis.get(self._bookmark)
        try:
            return datetime.fromisoformat(kept.decode()) if kept else None
        except ValueError:
            return None

    async def _keep(self, created: datetime) -> None:
        with suppress(RedisError):  # only a bookmark: without it the next start begins a little earlier
            await self._redis.set(self._bookmark, created.isoformat(), ex=_REMEMBERED)


@asynccontextmanager
async def listening(
    client: AsyncHiloopClient, environment: Mapping[str, str], *, webhooks: Collection[str] = ()
) -> AsyncIterator[Listener]:
    """A listener over the queue that ``environment`` sets up. Raises `ConfigurationError`."""
    token = secrets.token_urlsafe()
    # Nobody but this process posts to the application, and nobody reads its metrics.
    ours = {"HILOOP_WEBHOOK_TOKEN": token, "HILOOP_PROXIES": "", "HILOOP_METRICS_TOKEN": ""}
    settings = WebSettings.from_environment({**environment, **ours})
    await asyncio.to_thread(check_redis, settings, settings.durability)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = connect_async(settings, timeout=ACCEPT_TIMEOUT)
    inbox = open_inbox(settings)
    app = create_app(settings, inbox)
    transport = httpx.ASGITransport(app)
    bookmark = settings.layout.own(f"listened:{client.caller.name}")
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver", headers=headers) as receiver:
            yield Listener(client, receiver, connection, bookmark, webhooks=webhooks)
    finally:
        await app.counts.close()
        await inbox.close()
        await connection.aclose()
