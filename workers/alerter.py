"""A worker looks after the queue and raises alerts: one worker at a time, and none tells again what another has told.

A worker cannot tell that there is none: that is for the platform, or for Prometheus (`deploy/`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis

from receiver.ledger import Ledger
from receiver.logs import get_logger
from receiver.places import describe
from receiver.settings import WorkerSettings
from receiver.stored import Filter
from workers.alerts import Alert, AlertHandler
from workers.background import BackgroundTask
from workers.health import Health, Told, due_alerts

logger = get_logger()

# What a receiver of alerts may take before it counts as failed; and the longest pause before it is tried again.
URL_SECONDS: Final = 5.0
HANDLER_SECONDS: Final = 30.0
LONGEST_PAUSE: Final = 300.0
_EXAMINED: Final = 200
_NEVER: Final = datetime.fromtimestamp(0, UTC)
# Nobody has looked for so long: how long nothing was handled is not known.
_BLIND_SECONDS: Final = 120.0
# Each adds to one of these when it gets anywhere.
_MOVES: Final = ("handled", "dead", "retried")


class NotTaken(Exception):
    """A receiver has not taken an alert. The message says why; it holds no address, and no text of another error."""


@dataclass(slots=True)
class _Receiver:
    """Somebody who is told alerts; ``give`` raises where that fails."""

    name: str
    give: Callable[[Alert], None]
    failures: int = 0
    not_before: float = 0.0


class Alerter(BackgroundTask):
    """Looks at the queue every ``settings.alerts.check`` seconds; tells the URL of the settings and ``handlers``."""

    def __init__(self, settings: WorkerSettings, connection: redis.Redis, handlers: Mapping[str, AlertHandler]) -> None:
        layout, limits = settings.layout, settings.alerts
        super().__init__("alerts", connection, lease=layout.own("alerter"), interval=limits.check)
        self._limits = limits
        self._queue = settings.queue
        self._key = layout.own("alerts")
        self._ledger = Ledger(connection, layout)
        self._receivers = [_Receiver(name, calling(function)) for name, function in handlers.items()]
        if limits.url:
            self._receivers.append(_Receiver("url", self._post))

    def work(self) -> None:
        """One look, and whom it concerns."""
        health = self._look()
        for receiver in self._receivers:
            # What others have told meanwhile is not known here: whoever has lost the lease tells nobody.
            if time.time() >= receiver.not_before and self.keep_lease():
                self._tell(receiver, health)

    def _look(self) -> Health:
        status = self._ledger.status()
        died = self._ledger.page(Filter(status="failed"), limit=_EXAMINED).events
        latest_first = sorted(died, key=lambda event: event.ended_at or _NEVER, reverse=True)
        idle = self._idle(sum(status.depth.values()), sum(status.counters.get(name, 0) for name in _MOVES))
        return Health(self._queue, status, tuple(latest_first), idle)

    def _idle(self, ready: int, moves: int) -> float:
        """Seconds in which ``ready`` events have waited and nothing has moved; kept in Redis, as workers take turns."""
        now = time.time()
        try:
            known, since, looked = map(float, json.loads(self._redis.hget(self._key, "moves") or "[-1, 0, 0]"))
        except (ValueError, TypeError, OverflowError):
            known = since = looked = 0.0
        if not ready or moves != known or now - looked > max(_BLIND_SECONDS, 3 * self._limits.check):
            since = now
        self._redis.hset(self._key, "moves", json.dumps([moves, since, now]))
        return now - since

    def _tell(self, receiver: _Receiver, health: Health) -> None:
        field = f"told:{receiver.name}"
        told = Told.from_json((self._redis.hget(self._key, field) or b"").decode("utf-8", "replace"))
        now = time.time()
        for alert in due_alerts(health, told, self._limits, now):
            about = {"kind": alert.kind, "resolved": alert.resolved, "to": receiver.name}
            try:
                receiver.give(alert)
            except Exception as error:  # noqa: BLE001  # a user's function may raise anything, an address answer anything
                receiver.failures += 1
                pause = min(LONGEST_PAUSE, self._limits.check * 2 ** min(receiver.failures, 16))
                receiver.not_before = time.time() + pause
                why = str(error) if isinstance(error, NotTaken) else describe(error)
                logger.warning("an alert was not taken", **about, error=why, next_try_s=pause)
                return
            receiver.failures = 0
            told = told.after(alert, health, now)
            self._redis.hset(self._key, field, told.to_json())
            logger.info("alert", **about, title=alert.title)

    def _post(self, alert: Alert) -> None:
        # Imported here: a worker that raises no alert saves its memory.
        import httpx

        status = httpx.post(self._limits.url, json=alert.as_json(), timeout=URL_SECONDS).status_code
        if not httpx.codes.is_success(status):
            raise NotTaken(f"status {status}")


def calling(function: AlertHandler, seconds: float = HANDLER_SECONDS) -> Callable[[Alert], None]:
    """``function``, async or plain, in a thread of its own: one that takes longer than ``seconds`` keeps only that.

    What is returned raises `NotTaken` where the function fails, or has not ended yet when it is called again.
    """
    thread = threading.Thread()

    def give(alert: Alert) -> None:
        nonlocal thread
        if thread.is_alive():
            raise NotTaken("still busy with the alert before")
        raised: list[BaseException] = []

        def call() -> None:
            try:
                result: Any = function(alert)
                if inspect.isawaitable(result):
                    asyncio.run(_awaited(result))
            except BaseException as error:  # noqa: BLE001  # told to who has called, below
                raised.append(error)

        thread = threading.Thread(target=call, name="alert", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            raise NotTaken(f"took longer than {seconds:g} s")
        if raised:
            raise NotTaken(describe(raised[0]))

    return give


async def _awaited(result: Any) -> None:
    await result
