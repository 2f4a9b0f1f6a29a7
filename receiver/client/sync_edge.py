"""`HiloopClient`: takes the steps of a call with httpx's blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from receiver.client import deliveries, messages, sealing, sessions, wire
from receiver.client.caller import Caller
from receiver.client.exchange import Answer, Call, Pause, Request
from receiver.client.listings import Listing, Page
from receiver.client.retries import Retries
from receiver.errors import HiloopError
from receiver.keyring import KeyPair

P = ParamSpec("P")
T = TypeVar("T")


def _call(
    operation: Callable[Concatenate[Caller, P], Call[T]],
) -> Callable[Concatenate[HiloopClient, P], T]:
    @wraps(operation)
    def method(client: HiloopClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(operation(client.caller, *args, **kwargs))

    return method


def _pages(
    operation: Callable[Concatenate[Caller, P], Call[Listing[T]]],
) -> Callable[Concatenate[HiloopClient, P], Page[T]]:
    @wraps(operation)
    def method(client: HiloopClient, /, *args: P.args, **kwargs: P.kwargs) -> Page[T]:
        return Page.of(client.run(operation(client.caller, *args, **kwargs)), client.run)

    return method


class HiloopClient:
    """Hiloop's API for one agent, blocking. End-to-end encryption happens inside.

    ``api_key``, ``base_url`` and ``agent_keys`` come from HILOOP_API_KEY, HILOOP_BASE_URL and
    HILOOP_AGENT_KEYS where they are None. ``agent_keys`` are key pairs, or private keys in base64: the first
    one seals, all of them open, and so does the one derived from the API key. ``timeout`` is in seconds, for
    each request. ``transport`` replaces httpx's own, for tests. Raises `AuthenticationFailed` for an API key
    that cannot be right, and `ValidationFailed` for other arguments.

    Threads may share a client. Processes may not: make it after a fork.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.caller = Caller.configure(
            api_key,
            agent_name,
            base_url=base_url,
            agent_keys=agent_keys,
            timeout=timeout,
            retries=retries or Retries(),
        )
        self._http = httpx.Client(transport=transport, **wire.options(self.caller))
        self._owns_connections = True

    def __repr__(self) -> str:
        return f"<HiloopClient {self.caller.name} at {self.caller.base_url}>"

    def acting_as(self, agent_name: str) -> HiloopClient:
        """A client for another agent of the same API key, over the same connections and caches.

        It costs next to nothing, and need not be closed. Raises `ValidationFailed` for what is no name.
        """
        bound = copy(self)
        bound.caller = self.caller.acting_as(agent_name)
        bound._owns_connections = False  # noqa: SLF001  # of its own class
        return bound

    def close(self) -> None:
        """Close the connections, which `acting_as` shares; a client that was made by it does nothing here."""
        if self._owns_connections:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, call: Call[T]) -> T:
        """Take the steps of ``call`` and return its result. Raises `HiloopError`."""
        try:
            step = next(call)
            while True:
                try:
                    result = self._take(step)
                except HiloopError as error:
                    step = call.throw(error)
                else:
                    step = call.send(result)
        except StopIteration as done:
            return cast("T", done.value)

    def _take(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        if self._http.is_closed:
            raise HiloopError("the client is closed", code="client_closed")
        body = wire.Body(step)
        try:
            with self._http.stream(**wire.arguments(step)) as response:
                for chunk in response.iter_bytes():
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
