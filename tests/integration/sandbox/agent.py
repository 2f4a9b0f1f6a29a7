"""An agent that speaks the wire contract by hand: plain HTTP and `receiver.envelope`."""

from __future__ import annotations

import base64
import json
import uuid
import weakref
from typing import Any, Protocol

import httpx

from receiver.envelope import open_envelope, seal
from receiver.keyring import KeyPair, Keyring

APPROVAL = [
    {"type": "kv", "data": {"entries": [{"key": "Service", "value": "api-gateway"}]}},
    {
        "type": "button_group",
        "data": {"buttons": [{"label": "Yes", "action": "approve"}, {"label": "No", "action": "reject"}]},
    },
]
FORM = [
    {
        "type": "tabs",
        "children": [
            {
                "type": "tab",
                "data": {"label": "Incident"},
                "children": [
                    {
                        "type": "qa",
                        "data": {
                            "questions": [
                                {"id": "severity", "type": "radio", "options": ["High", "Low"]},
                                {"id": "affected", "type": "checkbox", "options": ["API", "Mobile"]},
                                {"id": "details", "type": "textarea"},
                            ]
                        },
                    }
                ],
            }
        ],
    }
]


class Reachable(Protocol):
    """All that an agent needs to know of a sandbox."""

    url: str
    api_key: str


class Agent:
    """Calls the API as the agent ``name``; publishes the key of its API key at once unless told otherwise."""

    def __init__(self, hiloop: Reachable, name: str = "deploy-bot", *, publish: bool = True) -> None:
        self.pair = KeyPair.from_api_key(hiloop.api_key)
        self.http = httpx.Client(
            base_url=f"{hiloop.url}/v1/agent",
            headers={"X-API-Key": hiloop.api_key, "X-Hiloop": name},
            trust_env=False,
            timeout=40,
        )
        weakref.finalize(self, self.http.close)
        if publish:
            self.publish(self.pair.public_key)

    def publish(self, public_key: bytes) -> httpx.Response:
        return self.http.put("/keys", json={"publicKey": base64.b64encode(public_key).decode()})

    def recipients(self) -> list[bytes]:
        items = self.http.get("/keys").json()["items"]
        return [base64.b64decode(each["publicKey"]) for each in items]

    def sealed(self, value: Any, session_id: str, field_name: str, recipients: list[bytes] | None = None) -> Any:
        keys = {*(self.recipients() if recipients is None else recipients), self.pair.public_key}
        return seal(
            json.dumps(value).encode(),
            sender=self.pair,
            recipients=sorted(keys),
            session_id=session_id,
            field_name=field_name,
        )

    def opened(self, envelope: Any, session_id: str, field_name: str) -> Any:
        ring = Keyring([self.pair])
        return open_envelope(envelope, keyring=ring, session_id=session_id, field_name=field_name).value

    def new_session(self, title: Any = "Deploy v2.4.1?", **plain: Any) -> str:
        session_id = str(uuid.uuid4())
        body = {"id": session_id, "encryptedTitle": self.sealed(title, session_id, "encryptedTitle"), **plain}
        self.http.post("/sessions", json=body).raise_for_status()
        return session_id

    def message_body(self, session_id: str, *, content: Any = None, components: Any = None, **plain: Any) -> Any:
        fields = {"encryptedContent": content, "encryptedComponents": components}
        return {
            **{name: self.sealed(value, session_id, name) for name, value in fields.items() if value is not None},
            **plain,
        }

    def send(self, session_id: str, **fields: Any) -> str:
        answer = self.http.post(f"/sessions/{session_id}/messages", json=self.message_body(session_id, **fields))
        answer.raise_for_status()
        return str(answer.json()["id"])

    def ask(self, components: Any = None, **plain: Any) -> tuple[str, str]:
        """A new session with one message; the ids of both."""
        session_id = self.new_session(**plain)
        return session_id, self.send(session_id, components=components or APPROVAL)

    def awaited(self, session_id: str, **query: Any) -> Any:
        return self.http.get(f"/sessions/{session_id}/await", params=query).json()["response"]
