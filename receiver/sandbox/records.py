"""What the sandbox remembers, and how the API shows it.

All fields are JSON values, so that a record goes into the state file as it is. Content is ciphertext throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from receiver.sandbox.clock import timestamp

Envelope = dict[str, Any]
Key = dict[str, str]  # {"keyId", "publicKey"}
MemberType = Literal["Human", "Agent", "Guest"]

PRIORITIES: Final = ("Critical", "High", "Normal", "Low")
DELIVERY_STATUSES: Final = ("Pending", "Delivered", "Failed")
EVENT_TYPES: Final = (
    "response.created",
    "message.created",
    "session.created",
    "session.closed",
    "session.archived",
    "participant.added",
    "webhook.test",
)


def camel(name: str) -> str:
    """``created_at`` → ``createdAt``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def shown(record: Any, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of ``record`` in camelCase, except those ``without``."""
    hidden = frozenset(without)
    return {camel(each.name): getattr(record, each.name) for each in fields(record) if each.name not in hidden}


@dataclass(slots=True)
class Member:
    """An agent, a human or a guest. ``keys`` are the public keys it has published, the newest last."""

    id: str
    type: MemberType
    name: str
    space_id: str
    keys: list[Key] = field(default_factory=list)
    email: str | None = None
    token_hash: str | None = None
    expires_at: str | None = None

    def current_keys(self) -> list[Key]:
        """The keys to seal for.

        An agent's newest, for it rotates; all of a human's, who has several devices; none of a guest whose time is up.
        """
        if self.expires_at is not None and self.expires_at <= timestamp():
            return []
        return self.keys[-1:] if self.type == "Agent" else list(self.keys)


@dataclass(slots=True)
class Session:
    """A conversation of one agent with humans. ``joined`` maps a participant's id to when it joined."""

    id: str
    agent_id: str
    agent_name: str
    space_id: str
    status: Literal["Open", "Closed", "Archived"]
    priority: str
    encrypted_title: Envelope
    encrypted_description: Envelope | None
    encrypted_metadata: Envelope | None
    created_at: str
    updated_at: str
    closed_at: str | None = None
    joined: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The session as the API shows it."""
        return shown(self, without=("joined",))


@dataclass(slots=True)
class Message:
    """What an agent, a human or a guest wrote in a session."""

    id: str
    session_id: str
    sender_type: MemberType
    sender_id: str
    encrypted_content: Envelope | None
    encrypted_components: Envelope | None
    response_required: bool
    priority: str
    created_at: str

    def as_json(self) -> dict[str, Any]:
        """The message as a timeline shows it."""
        sender = "senderAgentId" if self.sender_type == "Agent" else "senderId"
        return {"kind": "message", **shown(self, without=("sender_id",)), sender: self.sender_id}


@dataclass(slots=True)
class Response:
    """A human's answer to a message."""

    id: str
    session_id: str
    message_id: str
    responder_type: MemberType
    responder_id: str
    encrypted_response: Envelope
    created_at: str

    def as_json(self) -> dict[str, Any]:
        """The response as a timeline shows it."""
        return {"kind": "response", **shown(self)}


Item = Message | Response


@dataclass(slots=True)
class Event:
    """Something that webhooks tell of. ``session_id`` and the agent are None for `webhook.test`."""

    id: str
    type: str
    created_at: str
    space_id: str
    agent_id: str | None
    agent_name: str | None
    session_id: str | None
    priority: str
    data: dict[str, Any]


@dataclass(slots=True)
class Webhook:
    """An endpoint with its own token and secret. An empty list in its scope means all.

    ``agents`` holds names or ids. ``token`` and ``secret`` never show in a repr nor in the API after creation.
    """

    id: str
    url: str
    token: str = field(repr=False)
    secret: str = field(repr=False)
    spaces: list[str]
    agents: list[str]
    event_types: list[str]
    created_at: str
    description: str = ""
    enabled: bool = True

    def covers(self, event: Event) -> bool:
        """Whether ``event`` is in the scope of this webhook."""
        return (
            self.enabled
            and (not self.spaces or event.space_id in self.spaces)
            and (not self.agents or event.agent_id in self.agents or event.agent_name in self.agents)
            and (not self.event_types or event.type in self.event_types)
        )

    def as_json(self) -> dict[str, Any]:
        """The webhook as the admin API shows it, without token and secret."""
        scope = ("spaces", "agents", "event_types")
        return {
            **shown(self, without=("token", "secret", *scope)),
            "scope": {camel(name): getattr(self, name) for name in scope},
        }


@dataclass(slots=True)
class Delivery:
    """One event on its way to one webhook, over all attempts. ``step`` is its place in the retry schedule."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    session_id: str | None
    agent_id: str | None
    created_at: str
    status: Literal["Pending", "Delivered", "Failed"] = "Pending"
    attempts: int = 0
    last_status_code: int | None = None
    last_error: str | None = None
    delivered_at: str | None = None
    next_retry_at: str | None = None
    latency_ms: float | None = None
    step: int = 0

    def as_json(self) -> dict[str, Any]:
        """The delivery as the API shows it."""
        return shown(self, without=("agent_id", "latency_ms", "step"))
