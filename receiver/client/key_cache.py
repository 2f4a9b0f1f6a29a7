"""Remember whose public keys fields are sealed for, and which agents have published theirs. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, Literal, NamedTuple

# After this many seconds keys are asked for again, so that nobody who has left is sealed for much longer.
LIFETIME: Final = 300.0
# Sessions to remember; a worker that serves more asks again for those it has not touched for longest.
CAPACITY: Final = 4096


class Scope(NamedTuple):
    """Whose keys: those that an agent's new sessions are shared with, or those of one session."""

    kind: Literal["agent", "session"]
    name: str


def new_sessions_of(agent_name: str) -> Scope:
    """The scope of an agent's sessions to come."""
    return Scope("agent", agent_name)


def session(session_id: str) -> Scope:
    """The scope of one session."""
    return Scope("session", session_id)


class KeyCache:
    """Public keys by scope, for a while; shared by the threads and the agents of one client."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Scope, tuple[float, tuple[bytes, ...]]] = OrderedDict()
        self._published: set[str] = set()
        self._lock = threading.Lock()

    def get(self, scope: Scope, now: float) -> tuple[bytes, ...] | None:
        """The keys of ``scope``, None where they are unknown or too old."""
        with self._lock:
            noted, keys = self._keys.get(scope, (-LIFETIME, ()))
            if not keys or now - noted >= LIFETIME:
                return None
            self._keys.move_to_end(scope)
            return keys

    def put(self, scope: Scope, keys: tuple[bytes, ...], now: float) -> None:
        """Remember ``keys`` from ``now`` (seconds of a monotonic clock) on."""
        with self._lock:
            self._keys[scope] = (now, keys)
            self._keys.move_to_end(scope)
            while len(self._keys) > CAPACITY:
                self._keys.popitem(last=False)

    def forget(self, scope: Scope) -> None:
        """Ask for the keys of ``scope`` again when they are needed next."""
        with self._lock:
            self._keys.pop(scope, None)

    def is_published(self, agent_name: str) -> bool:
        """Whether this agent's current key has been published."""
        with self._lock:
            return agent_name in self._published

    def note_published(self, agent_name: str) -> None:
        """Note that this agent's current key has been published."""
        with self._lock:
            self._published.add(agent_name)

    def note_unpublished(self, agent_name: str) -> None:
        """Publish this agent's key again before the next field is sealed."""
        with self._lock:
            self._published.discard(agent_name)
