"""The event a handler gets: verified, opened, and pleasant to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from receiver.envelope import open_fields
from receiver.errors import HiloopError
from receiver.events import RESPONSE_TYPE, Event
from receiver.keyring import Keyring
from receiver.senders import ANYBODY, TrustedSender, TrustedSenders
from workers.decision import who_decided


@dataclass(frozen=True, slots=True)
class Replay:
    """That an event runs again because somebody wanted it: ``id`` of the replay, the ``reason`` given for it, and the
    ``original_time`` at which the event was accepted first (UTC; None if it is not known).
    """

    id: str
    original_time: datetime | None
    reason: str


def _not_connected() -> Any:
    raise HiloopError("this event is not connected to a client; a worker connects what it hands to handlers")


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """What happened, with its content opened.

    ``id`` is the same at every try and redelivery: use it to make what you do idempotent. ``response`` is the
    human's answer: the ``action`` of a button, an object of question id → answer for a form, or None for events that
    are no answer. Only sealed content gets there, never what the relay wrote in plaintext. ``sender`` is who sealed it:
    one of `HILOOP_TRUSTED_SENDERS`, or None where nobody has proven anything. ``sealed`` has all content that was
    sealed, by name; ``senders`` are the ids of the keys it was sealed with, ``recipients`` those of ours it was sealed
    for. ``data`` is the event's data with every encrypted field replaced by its plaintext; what else is in it is the
    platform's word. ``attempt`` counts this handler's tries from 1. ``replay`` is None unless the event is run again at
    somebody's wish. ``created_at`` is in UTC, or None if the platform gave no readable time.
    """

    id: str
    type: str
    session_id: str
    agent_id: str
    agent_name: str
    space_id: str
    priority: str
    created_at: datetime | None
    response: Any = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    senders: tuple[str, ...]
    sender: TrustedSender | None = None
    sealed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    recipients: tuple[str, ...] = ()
    attempt: int = 1
    replay: Replay | None = None
    connect: Callable[[], Any] = field(default=_not_connected, repr=False, compare=False)

    @property
    def client(self) -> Any:
        """A client acting as the event's agent: `AsyncHiloopClient` in an async handler, else `HiloopClient`."""
        return self.connect()

    def reply(self, content: str | None = None, *, components: Any = None, **options: Any) -> Any:
        """Answer in the event's session: ``send_message`` of `client`. In an async handler, ``await`` it.

        Raises `HiloopError` as the client does.
        """
        return self.client.send_message(self.session_id, content=content, components=components, **options)


def open_event(event: Event, keyring: Keyring, trusted: TrustedSenders = ANYBODY) -> OpenedEvent:
    """Open all encrypted fields of ``event``, with the keys of the agent it is for.

    Raises `receiver.errors.OpenError` where one does not open, and `UntrustedSender` as `who_decided` does where there
    are ``trusted`` senders.
    """
    fields = open_fields(event.payload, keyring=keyring.of_agent(event.agent_name), session_id=event.session_id)
    own = [pair.key_id for pair in keyring]
    sender = who_decided(event.type, fields.sealed, trusted, own) if trusted else None
    data = fields.value.get("data")
    return OpenedEvent(
        id=event.id,
        type=event.type,
        session_id=event.session_id,
        agent_id=event.agent_id,
        agent_name=event.agent_name,
        space_id=event.space_id,
        priority=event.priority,
        created_at=event.created_at,
        response=fields.first.get("response") if event.type == RESPONSE_TYPE else None,
        data=data if isinstance(data, dict) else {},
        senders=fields.senders,
        sender=sender,
        sealed=fields.first,
        recipients=tuple({one.opened.recipient_key_id for one in fields.sealed}),
    )
