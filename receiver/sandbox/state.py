"""The state of the sandbox: in memory, and in a JSON file between runs if wanted. It holds no plaintext."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from receiver.errors import ConfigurationError
from receiver.sandbox.records import Delivery, Event, Item, Member, Message, Response, Session, Webhook

logger = logging.getLogger(__name__)

_VERSION: Final = 1
_SAVE_INTERVAL: Final = 0.2  # seconds: what a burst of changes shares one write


@dataclass(slots=True)
class State:
    """Everything the sandbox knows, each in order of creation. ``timelines`` maps a session's id to its items."""

    space_id: str
    human_id: str
    members: dict[str, Member] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    timelines: dict[str, list[Item]] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)


class StateFile:
    """Keeps a `State` in a file that only its owner can read.

    `changed` is cheap; a task writes at most five times a second, and once more when it is stopped.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._dirty = asyncio.Event()

    def changed(self) -> None:
        """Note that the state is no longer what the file holds."""
        self._dirty.set()

    async def keep(self, state: State) -> None:
        """Write ``state`` after changes until cancelled, and then a last time."""
        if self.path is None:
            return
        try:
            while await self._dirty.wait():
                self._dirty.clear()
                self._save(state, self.path)
                await asyncio.sleep(_SAVE_INTERVAL)
        finally:
            self._save(state, self.path)

    def _save(self, state: State, path: Path) -> None:
        try:
            save(state, path)
        except OSError as error:
            logger.error("the state could not be written to %s: %s", path, error.strerror)  # noqa: TRY400  # says all


def save(state: State, path: Path) -> None:
    """Write ``state`` to ``path`` with mode 0600, in one step: readers see the old file or the new one."""
    write_private(path, json.dumps({"version": _VERSION, **asdict(state)}, separators=(",", ":")))


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by a file with ``text`` which was never readable for anybody but its owner."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def create(state: State, path: Path) -> None:
    """Write ``state`` to a new file. Raises `ConfigurationError` if that cannot be done."""
    try:
        save(state, path)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be written: {error.strerror}"]) from None


def load(path: Path) -> State:
    """Read what `save` wrote. Raises `ConfigurationError` for a file that is something else, or not readable."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] == _VERSION:
            return _from_json(stored)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # said below: the parser's own text may quote the file
    raise ConfigurationError([f"{path}: is no state file of this version of the sandbox; move it away"])


def _from_json(stored: dict[str, Any]) -> State:
    def all_of(kind: type[Any], name: str) -> dict[str, Any]:
        return {key: kind(**each) for key, each in stored[name].items()}

    return State(
        space_id=stored["space_id"],
        human_id=stored["human_id"],
        members=all_of(Member, "members"),
        sessions=all_of(Session, "sessions"),
        timelines={key: [_item(each) for each in items] for key, items in stored["timelines"].items()},
        events=all_of(Event, "events"),
        webhooks=all_of(Webhook, "webhooks"),
        deliveries=all_of(Delivery, "deliveries"),
    )


def _item(stored: dict[str, Any]) -> Item:
    return Response(**stored) if "message_id" in stored else Message(**stored)
