"""Which of several tokens, secrets and keys are used while they are rotated, so that one sees when an old one can go.

Counted in the process, and told to Redis at most once a second: no request waits for it. Where there is only one of a
kind, nothing is counted.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from receiver.counts import Counts, Write
from receiver.errors import QueueUnavailable
from receiver.layout import Layout
from receiver.logs import get_logger

logger = get_logger()

# What has not been used for so long is forgotten.
KEEP_SECONDS: Final = 90 * 86400


def name_of_secret(kind: str, secret: bytes) -> str:
    """``token:1f3a``. Sixteen bits of a hash keyed with the secret: enough to tell two apart, and no help to guess."""
    return f"{kind}:{hmac.digest(secret, f'hiloop/v1/name|{kind}'.encode(), 'sha256').hex()[:4]}"


def names_of_secrets(kind: str, secrets: Sequence[bytes]) -> tuple[str, ...]:
    """The names of several, in their order."""
    return tuple(name_of_secret(kind, secret) for secret in secrets)


class Uses:
    """Counts uses by name, from any thread. ``kinds``: the names of each kind; where it is one, it is not counted."""

    def __init__(self, *kinds: Sequence[str]) -> None:
        self._counts = {name: 0 for names in kinds if len(set(names)) > 1 for name in names}
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self.untold = bool(self._counts)  # that they are there is worth telling, too

    def note(self, name: str) -> bool:
        """Count one use. Returns whether this name is counted at all."""
        if name not in self._counts:
            return False
        with self._lock:
            self._counts[name] += 1
            self.untold = True
            is_first = name not in self._seen
            self._seen.add(name)
        if is_first:
            logger.info("in use", name=name)
        return True

    def take(self) -> dict[str, int]:
        """What has been counted since the last time; empty if nothing was used."""
        with self._lock:
            if not self.untold:
                return {}
            taken, self.untold = dict(self._counts), False
            self._counts = dict.fromkeys(self._counts, 0)
        return taken

    def put_back(self, counts: Mapping[str, int]) -> None:
        """Count again what could not be told."""
        with self._lock:
            for name, times in counts.items():
                self._counts[name] += times
            self.untold = True


def tell(pipe: Any, layout: Layout, counts: Mapping[str, int]) -> None:
    """Add ``counts`` to what Redis knows of uses, as commands of a pipeline."""
    key, now = layout.own("used"), int(time.time() * 1000)
    for name, times in counts.items():
        pipe.hsetnx(key, f"{name}:since", now)
        if times:
            pipe.hincrby(key, f"{name}:times", times)
            pipe.hset(key, f"{name}:last", now)
    pipe.expire(key, KEEP_SECONDS)


class UseCounts:
    """Has ``write`` tell of uses soon after they were noted, in the event loop of the web process."""

    def __init__(self, uses: Uses, write: Write) -> None:
        self._uses = uses
        self._write = write
        self._counts = Counts(self._tell)

    def note(self, names: Iterable[str]) -> None:
        """Count one use of each."""
        for name in names:
            if self._uses.note(name):
                self._counts.add(name)

    async def close(self) -> None:
        """Tell what is left."""
        await self._counts.close()

    async def _tell(self, _noted: Mapping[str, int]) -> None:
        counts = self._uses.take()
        try:
            await self._write(counts)
        except QueueUnavailable:
            self._uses.put_back(counts)
            raise
