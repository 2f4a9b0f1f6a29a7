"""A dispatcher on an event loop of its own, whose closings end up in a list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from receiver.keyring import Keyring
from receiver.retry import RetryPolicy
from receiver.settings import WorkerSettings
from tests.support.wire import AGENT, API_KEY, SECRET, answer, signature
from workers.claims import Claimed, Closing
from workers.clients import Clients
from workers.dispatch import CANCEL_GRACE, Dispatcher
from workers.registry import Registry

NOW = 1_800_000_000.0


class Stage:
    """Runs events through handlers; time stands still at `NOW` until a test moves ``now``."""

    def __init__(
        self, registry: Registry, *, retries: int = 0, timeout: float = 10.0, concurrency: int = 4, **options: Any
    ) -> None:
        self.closings: list[Closing] = []
        self.now = NOW
        self.dispatcher = Dispatcher(
            registry,
            keyring=options.get("keyring", Keyring([AGENT])),
            secrets=options.get("secrets", (SECRET.encode(),)),
            policy=RetryPolicy(retries, base=2.0, maximum=100.0),
            timeout=timeout,
            concurrency=concurrency,
            report=self.closings.append,
            clients=Clients(WorkerSettings(api_key=API_KEY, agent_name="default-bot"), [AGENT]),
            clock=lambda: self.now,
            cancel_grace=options.get("cancel_grace", CANCEL_GRACE),
        )

    def start(
        self,
        body: bytes | None = None,
        *,
        header: bytes | None = None,
        progress: str = "",
        job: str = "job-1",
        replay: str = "",
    ) -> Claimed:
        """Start one event, an answer "approve" if no body is given."""
        body = answer("approve") if body is None else body
        header = signature(body) if header is None else header
        claimed = Claimed(job, f"execution-of-{job}", body, header, progress, 1, replay, "2026-11-22T00:00:00Z")
        self.dispatcher.start(claimed)
        return claimed

    @property
    def ends(self) -> list[Closing]:
        """The closings that end a claim."""
        return [closing for closing in self.closings if closing.ends_claim]

    async def finish(self, body: bytes | None = None, **options: Any) -> Closing:
        """Start one event and wait until it is closed."""
        before = len(self.ends)
        self.start(body, **options)
        await until(lambda: len(self.ends) > before)
        return self.ends[before]


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition on the event loop, for at most 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.001)
