"""Which handlers this worker has and what they match; noted in Redis for the dashboard."""

from __future__ import annotations

import time
from typing import Final

import redis

from receiver.noted import HandlerNote
from receiver.settings import WorkerSettings
from workers.background import BackgroundTask
from workers.registry import FILTERS, Handler, Registry

INTERVAL: Final = 300.0
LASTING: Final = 3600
MOST: Final = 200


def describe_handler(handler: Handler, settings: WorkerSettings) -> HandlerNote:
    """What ``handler`` matches, and how it runs under ``settings``."""
    return HandlerNote(
        name=handler.name,
        type=handler.type,
        matches={name: value for name in FILTERS if (value := getattr(handler, name)) is not None},
        fallback=handler.is_fallback,
        ordered=handler.ordered,
        is_async=handler.is_async,
        retries=settings.retries if handler.retries is None else handler.retries,
        timeout=settings.timeout if handler.timeout is None else handler.timeout,
        at=time.time(),
    )


class Catalog(BackgroundTask):
    """Notes the handlers at the start and every few minutes; those that no worker names any more go after a while."""

    def __init__(self, settings: WorkerSettings, connection: redis.Redis, handlers: Registry) -> None:
        super().__init__("catalog", connection, lease=settings.layout.own("cataloguer"), interval=INTERVAL)
        self._settings = settings
        self._handlers = handlers
        self._key = settings.layout.own("catalog")

    def work(self) -> None:
        """Note all handlers of this worker."""
        notes = [describe_handler(handler, self._settings) for handler in list(self._handlers)[:MOST]]
        noted = {name.decode("utf-8", "replace"): text for name, text in self._redis.hgetall(self._key).items()}
        known = {name: HandlerNote.from_json(name, text.decode("utf-8", "replace")) for name, text in noted.items()}
        gone = [name for name, note in known.items() if note.at < time.time() - LASTING]
        with self._redis.pipeline() as pipe:
            if gone or len(known) > MOST:
                pipe.hdel(self._key, *(gone or known))
            pipe.hset(self._key, mapping={note.name: note.to_json() for note in notes})
            pipe.expire(self._key, LASTING)
            pipe.execute()
