"""What users need in their own tests: a local Hiloop with its human, or single sealed answers and signed requests.

With pytest, ``pytest_plugins = ["receiver.testing"]`` gives the fixtures ``hiloop`` and ``human``.
Without the sandbox:

human, agent = new_key_pair(), KeyPair.from_api_key("hlp_" + "0" * 64)
body = webhook_body(sealed_response("approve", human=human, agent=agent, session_id="s-1"), session_id="s-1")
headers = signed_headers(body, token="…", secret="…")
"""

from __future__ import annotations

import contextlib
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from receiver.envelope import seal
from receiver.errors import QueueUnavailable
from receiver.events import Event
from receiver.inbox import Accepted
from receiver.keyring import KEY_BYTES, KeyPair
from receiver.signature import sign

with contextlib.suppress(ModuleNotFoundError):  # who tests without pytest needs no fixtures
    from receiver.sandbox.fixtures import hiloop, human

__all__ = ["MemoryInbox", "hiloop", "human", "new_key_pair", "sealed_response", "signed_headers", "webhook_body"]


def new_key_pair() -> KeyPair:
    """A fresh X25519 key pair."""
    return KeyPair.from_private(secrets.token_bytes(KEY_BYTES))


def sealed_response(
    answer: Any, *, human: KeyPair, agent: KeyPair, session_id: str, message_id: str | None = None
) -> dict[str, Any]:
    """The ``data`` of a `response.created` event: ``answer`` sealed by ``human`` for ``agent``."""
    envelope = seal(
        json.dumps(answer).encode(),
        sender=human,
        recipients=[agent.public_key],
        session_id=session_id,
        field_name="encryptedResponse",
    )
    return {
        "response": {
            "id": str(uuid.uuid4()),
            "messageId": message_id or str(uuid.uuid4()),
            "responderType": "Human",
            "responderId": str(uuid.uuid4()),
            "encryptedResponse": envelope,
        }
    }


def webhook_body(
    data: dict[str, Any] | None = None,
    *,
    session_id: str = "",
    type: str = "response.created",  # noqa: A002  # the field's name on the wire
    event_id: str | None = None,
    agent_name: str = "deploy-bot",
    priority: str = "Normal",
    created_at: datetime | None = None,
    **fields: Any,
) -> bytes:
    """The body of a webhook of profile v1; further ``fields`` are added to it as they are."""
    event = {
        "id": event_id or f"evt_{uuid.uuid4().hex}",
        "type": type,
        "createdAt": (created_at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "deliveryId": f"dlv_{uuid.uuid4().hex}",
        "attempt": 1,
        "spaceId": "8c0c4a52-0000-4000-8000-000000000001",
        "agentId": "8c0c4a52-0000-4000-8000-000000000002",
        "agentName": agent_name,
        "sessionId": session_id,
        "priority": priority,
        "data": data or {},
    }
    return json.dumps(event | fields).encode()


def signed_headers(body: bytes, *, token: str, secret: str) -> dict[str, str]:
    """The headers with which Hiloop sends ``body``."""
    return {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "X-Hiloop-Signature": sign(secret.encode(), body),
    }


class MemoryInbox:
    """An inbox without Redis: keeps what was accepted in ``accepted`` and what was counted in ``counted``; refuses
    everything while ``is_down``.
    """

    def __init__(self) -> None:
        self.accepted: dict[str, Event] = {}
        self.counted: Counter[str] = Counter()
        self.is_down = False

    async def accept(self, event: Event, _body: bytes, _signature: bytes, _traceparent: str = "") -> Accepted:
        """See `receiver.inbox.Inbox.accept`."""
        await self.ping()
        if event.id in self.accepted:
            return Accepted.DUPLICATE
        self.accepted[event.id] = event
        return Accepted.NEW

    async def count(self, numbers: Mapping[str, int]) -> None:
        """See `receiver.inbox.Inbox.count`."""
        await self.ping()
        self.counted.update(numbers)

    async def ping(self) -> None:
        """See `receiver.inbox.Inbox.ping`."""
        if self.is_down:
            raise QueueUnavailable("the queue cannot take the event now; send it again")
