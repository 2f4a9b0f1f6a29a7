"""`AsyncHiloopClient`: takes the steps of a call with httpx's asynchronous client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from receiver.client import deliveries, messages, sealing, sessions, wire
from receiver.client.caller import Caller
from receiver.client.exchange import Answer, Call, Pause, Request
from receiver.client.listings import AsyncPage, Listing
from receiver.client.retries import Retries
from receiver.errors import HiloopError
from receiver.keyring import KeyPair

P = ParamSpec("P")
T = TypeVar("T")


def _call(
    operation: Callable[Concatenate[Caller, P], Call[T]],
) -> Callable[Concatenate[AsyncHiloopClient, P], Awaitable[T]]:
    @wraps(operation)
    async def method(client: AsyncHiloopClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.run(operation(client.caller, *args, **kwargs))

    return method


def _pages(
    operation: Callable[Concatenate[Caller, P], Call[Listing[T]]],
) -> Callable[Concatenate[AsyncHiloopClient, P], Awaitable[AsyncPage[T]]]:
    @wraps(operation)
    async def method(client: AsyncHiloopClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncPage[T]:
        return AsyncPage.of(await client.run(operation(client.caller, *args, **kwargs)), client.run)

    return method


class AsyncHiloopClient:
    """Hiloop's API for one agent, for asyncio: `HiloopClient` with awaits, argument by argument.

    One event loop may use it, with any number of tasks.
    """

    def __init__(
        self,
        api_key: str | None = None,
        agent_name: str = "",
        *,
        base_url: str | None = None,
        agent_keys: Iterable[KeyPair | str] | None = None,
        timeout: float = 30.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.caller = Caller.configure(
            api_key,
            agent_name,
            base_url=base_url,
            agent_keys=agent_keys,
            timeout=timeout,
            retries=retries or Retries(),
        )
        self._http = httpx.AsyncClient(transport=transport, **wire.options(self.caller))
        self._owns_connections = True

    def __repr__(self) -> str:
        return f"<AsyncHiloopClient {self.caller.name} at {self.caller.base_url}>"

    def acting_as(self, agent_name: str) -> AsyncHiloopClient:
        """A client for another agent of the same API key, over the same connections and caches.

        It costs next to nothing, and need not be closed. Raises `ValidationFailed` for what is no name.
        """
        bound = copy(self)
        bound.caller = self.caller.acting_as(agent_name)
        bound._owns_connections = False  # noqa: SLF001  # of its own class
        return bound

    async def aclose(self) -> None:
        """Close the connections, which `acting_as` shares; a client that was made by it does nothing here."""
        if self._owns_connections:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def run(self, call: Call[T]) -> T:
        """Take the steps of ``call`` and return its result. Raises `HiloopError`."""
        try:
            step = next(call)
            while True:
                try:
                    result = await self._take(step)
                except HiloopError as error:
                    step = call.throw(error)
                else:
                    step = call.send(result)
        except StopIteration as done:
            return cast("T", done.value)

    async def _take(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            import anyio  # at its first use: blocking clients need not wait for asyncio to be loaded

            await anyio.sleep(step.seconds)
            return None
        if self._http.is_closed:
            raise HiloopError("the client is closed", code="client_closed")
        body = wire.Body(step)
        try:
            async with self._http.stream(**wire.arguments(step)) as response:
                async for chunk in response.aiter_bytes():
                    body.add(chunk)
        except wire.HTTPX_ERRORS as error:
            raise wire.translated(error, self.caller.base_url) from error
        return body.answer(response)

    publish_key = _call(sealing.publish_key)

    create_session = _call(sessions.create_session)
    get_session = _call(sessions.get_session)
    list_sessions = _pages(sessions.list_sessions)
    close_session = _call(sessions.close_session)
    archive_session = _call(sessions.archive_session)
    add_participant = _call(sessions.add_participant)
    list_participants = _pages(sessions.list_participants)
    create_guest_token = _call(sessions.create_guest_token)
    send_typing = _call(sessions.send_typing)

    send_message = _call(messages.send_message)
    get_timeline = _pages(messages.get_timeline)
    await_response = _call(messages.await_response)
    ask = _call(messages.ask)

    list_webhook_deliveries = _pages(deliveries.list_webhook_deliveries)
    get_webhook_delivery = _call(deliveries.get_webhook_delivery)
    get_webhook_delivery_stats = _call(deliveries.get_webhook_delivery_stats)
    retry_webhook_delivery = _call(deliveries.retry_webhook_delivery)
    retry_failed_deliveries = _call(deliveries.retry_failed_deliveries)
