"""Refused requests: counted, logged without flooding the log, and held against who sent them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from receiver.counts import Counts
from receiver.errors import RequestError, TooManyRefusals
from receiver.logs import get_logger
from receiver.sources import Sources, source_of

logger = get_logger()

# Lines of one code in a while; of the others only the number is told, at its end.
LINES: Final = 20
WHILE_SECONDS: Final = 10.0


class Refusals:
    """What one web process has refused. Used on its event loop only.

    ``proxies``: how many routers are in front, None if that is not known: then senders cannot be told apart, and none
    is turned away, since that would hit the platform as well. ``limit``: refusals a minute and sender. ``seconds``: how
    long a while is.
    """

    def __init__(self, counts: Counts, *, proxies: int | None, limit: int, seconds: float = WHILE_SECONDS) -> None:
        self._counts = counts
        self._proxies = proxies
        self._seconds = seconds
        self._sources = Sources(limit)
        self._lines: Counter[str] = Counter()
        self._summary: asyncio.TimerHandle | None = None

    def source(self, peer: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]] = ()) -> str | None:
        """Who sent a request, None if that is not known."""
        if self._proxies is None:
            return None
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        return source_of(peer[0] if peer else "", forwarded.decode("latin-1"), self._proxies)

    def admit(self, peer: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise `TooManyRefusals` if the sender is to be turned away."""
        if not self._sources:  # nearly always
            return
        source = self.source(peer, headers)
        seconds = self._sources.seconds_to_wait(source, time.monotonic()) if source else 0
        if seconds:
            raise TooManyRefusals("too many requests from your address were refused; wait", retry_after=seconds)

    def note(self, error: RequestError, source: str | None) -> None:
        """Count a refusal, and log it unless many of its kind were logged already."""
        if source is not None and error.is_suspect:
            self._sources.refused(source, time.monotonic())
        self._count(error.reason, error.code, error.status)

    def note_disconnect(self) -> None:
        """Count a request whose sender went away before it was complete."""
        self._count("disconnected", "sender_went_away")

    def _count(self, reason: str, code: str, status: int | None = None) -> None:
        self._counts.add("refused")
        self._counts.add(f"refused:{reason}")
        self._lines[code] += 1
        if self._lines[code] <= LINES:
            logger.info("refused", status=status, code=code)
        if self._summary is None:
            self._summary = asyncio.get_running_loop().call_later(self._seconds, self._summarise)

    def _summarise(self) -> None:
        for code, number in self._lines.items():
            if number > LINES:
                logger.warning("refused", code=code, more=number - LINES, seconds=self._seconds)
        self._lines.clear()
        self._summary = None
