"""What the client returns: frozen, typed, and silent about plaintext and tokens in their reprs.

Every result keeps the JSON it was made of in ``raw``, sealed fields still sealed. Times are in UTC.
Enumerations are spelled as on the wire (`"Human"`, `"Failed"`), except for priorities, which are spelled as
in an `Event`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation of one agent with humans.

    ``status`` is `"Open"`, `"Closed"` or `"Archived"`. Where a sealed field does not open, it is None and
    ``error`` is the reason: `unknown_key`, `bad_envelope` or `bad_ciphertext`.
    """

    id: str
    status: str
    priority: str
    agent_id: str | None
    agent_name: str | None
    space_id: str | None
    title: str | None = field(repr=False, hash=False)
    description: str | None = field(repr=False, hash=False)
    metadata: dict[str, Any] | None = field(repr=False, hash=False)
    error: str | None
    created_at: datetime
    updated_at: datetime | None
    closed_at: datetime | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a timeline; ``sender_type`` is `"Agent"` or `"Human"`.

    Where a sealed field does not open, it is None and ``error`` is the reason, as for a `Session`.
    ``sender_key_id`` is the key it was sealed with, None where nothing opened.
    """

    id: str
    session_id: str
    sender_type: str
    sender_id: str | None
    content: str | None = field(repr=False, hash=False)
    components: list[dict[str, Any]] | None = field(repr=False, hash=False)
    error: str | None
    sender_key_id: str | None
    response_required: bool
    priority: str
    created_at: datetime
    raw: Raw = field(repr=False, compare=False)
    kind: Literal["message"] = field(default="message", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A human's answer to a message.

    ``response`` is what was answered: a button's action as a string, a form as an object of question id →
    answer. Where it does not open it is None and ``error`` is the reason, as for a `Session`.
    ``sender_key_id`` is the key it was sealed with, None where it did not open.
    """

    answered: ClassVar[bool] = True

    id: str
    session_id: str
    message_id: str
    responder_type: str
    responder_id: str | None
    response: Any = field(repr=False, hash=False)
    error: str | None
    sender_key_id: str | None
    created_at: datetime
    raw: Raw = field(repr=False, compare=False)
    kind: Literal["response"] = field(default="response", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class NoResponse:
    """What waiting gives when nobody answered: ``response`` is the default that was asked for.

    ``reason`` is `"timeout"`, or `"closed"` if the session was closed or archived without an answer.
    """

    answered: ClassVar[bool] = False

    session_id: str
    reason: Literal["timeout", "closed"]
    response: Any = field(repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class UnknownItem:
    """An item of a timeline of a kind that this client does not know; all there is stands in ``raw``."""

    kind: str
    raw: Raw = field(repr=False, compare=False)


TimelineItem = Message | Response | UnknownItem


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A participant's X25519 public key (32 bytes)."""

    key_id: str
    public_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who takes part in a session; ``type`` is `"Human"`, `"Agent"` or `"Guest"`."""

    id: str
    type: str
    name: str | None
    keys: tuple[PublicKey, ...]
    joined_at: datetime | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class GuestToken:
    """Lets somebody without an account into one session, until ``expires_at``. Token and URL are secrets."""

    id: str
    token: str = field(repr=False)
    url: str | None = field(repr=False)
    expires_at: datetime | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One event on its way to one webhook; ``status`` is `"Pending"`, `"Delivered"` or `"Failed"`.

    ``payload`` (the raw body, as text) and ``signature`` (the value of its X-Hiloop-Signature) are what the platform
    sends. Only `get_webhook_delivery` gives them, and only where the platform tells.
    """

    id: str
    webhook_id: str | None
    event_id: str | None
    event_type: str | None
    session_id: str | None
    status: str
    attempts: int
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None
    next_retry_at: datetime | None
    raw: Raw = field(repr=False, compare=False)
    payload: str | None = field(default=None, repr=False, compare=False)
    signature: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WebhookDeliveryStats:
    """Deliveries counted since ``since``; ``success_rate`` is from 0 to 1, None before the first delivery."""

    total: int
    pending: int
    delivered: int
    failed: int
    success_rate: float | None
    average_latency_ms: float | None
    since: datetime | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RetriedDeliveries:
    """What `retry_failed_deliveries` did, or would do if ``dry_run``.

    ``found`` are the failed deliveries that match; ``retried`` those that the API took back, as they are now;
    ``refused`` the ids of those it did not, with the reason's code.
    """

    dry_run: bool
    found: tuple[WebhookDelivery, ...]
    retried: tuple[WebhookDelivery, ...]
    refused: Mapping[str, str] = field(hash=False)
