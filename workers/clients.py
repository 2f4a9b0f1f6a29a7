"""Clients of Hiloop's API for handlers, bound to the agent of their event; made when the first handler asks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from receiver.errors import HiloopError
from receiver.keyring import KeyPair
from receiver.logs import get_logger
from receiver.settings import WorkerSettings

if TYPE_CHECKING:
    from receiver.client import AsyncHiloopClient, HiloopClient

logger = get_logger()


class Clients:
    """One client of each kind; all agents share its connections and caches.

    The module of the clients is imported at first use: a worker whose handlers never ask saves its memory.
    """

    def __init__(self, settings: WorkerSettings, pairs: list[KeyPair]) -> None:
        self._settings = settings
        self._pairs = pairs
        self._lock = threading.Lock()
        self._plain: HiloopClient | None = None
        self._asynchronous: AsyncHiloopClient | None = None

    def plain(self, agent_name: str) -> HiloopClient:
        """The client for a plain handler. Raises `HiloopError` where no API key or agent name is known."""
        with self._lock:  # plain handlers run in threads, and two may be the first to ask
            if self._plain is None:
                from receiver.client import HiloopClient

                self._plain = HiloopClient(
                    self._api_key, self._name(agent_name), base_url=self._settings.base_url, agent_keys=self._pairs
                )
        return self._plain.acting_as(self._name(agent_name))

    def asynchronous(self, agent_name: str) -> AsyncHiloopClient:
        """The client for an async handler. Raises `HiloopError` where no API key or agent name is known."""
        if self._asynchronous is None:
            from receiver.client import AsyncHiloopClient

            self._asynchronous = AsyncHiloopClient(
                self._api_key, self._name(agent_name), base_url=self._settings.base_url, agent_keys=self._pairs
            )
        return self._asynchronous.acting_as(self._name(agent_name))

    async def publish_key(self) -> None:
        """Make the agent's public key known, so that humans can seal answers for it; logs a failure and goes on.

        Needs `HILOOP_API_KEY` and `HILOOP_AGENT_NAME`; without them there is nothing to publish for.
        """
        if not self._settings.api_key or not self._settings.agent_name:
            return
        try:
            key_id = await self.asynchronous(self._settings.agent_name).publish_key()
        except HiloopError as error:
            logger.warning("the agent's key could not be published", agent=self._settings.agent_name, code=error.code)
        else:
            logger.info("the agent's key is published", agent=self._settings.agent_name, key=key_id)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._plain is not None:
            self._plain.close()
        if self._asynchronous is not None:
            await self._asynchronous.aclose()

    @property
    def _api_key(self) -> str:
        if not self._settings.api_key:
            raise HiloopError("set HILOOP_API_KEY to call Hiloop from a handler", code="no_api_key")
        return self._settings.api_key

    def _name(self, agent_name: str) -> str:
        return agent_name or self._settings.agent_name
