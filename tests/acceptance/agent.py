"""An agent as the wire contract describes it: plain HTTP and the Python side of the envelope."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode, b64encode
from typing import Any

import httpx

from receiver.envelope import open_envelope, seal
from receiver.keyring import KeyPair, Keyring


class Agent:
    """Asks and reads answers in a sandbox."""

    def __init__(self, address: str, api_key: str, name: str = "deploy-bot") -> None:
        headers = {"X-API-Key": api_key, "X-Hiloop": name}
        self._http = httpx.Client(base_url=f"{address}/v1/agent", headers=headers, timeout=40, trust_env=False)
        self._pair = KeyPair.from_api_key(api_key)
        self.call("PUT", "/keys", {"publicKey": b64encode(self._pair.public_key).decode()})

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def new_session(self, title: str, *, priority: str = "Normal", **fields: Any) -> str:
        """Start a session shared with the human; ``fields`` are description and metadata."""
        session_id = str(uuid.uuid4())
        keys = self.call("GET", "/keys")["items"]
        sealed = {
            f"encrypted{name.capitalize()}": self.sealed(session_id, name, value, keys)
            for name, value in {"title": title, **fields}.items()
        }
        self.call("POST", "/sessions", {"id": session_id, "priority": priority, **sealed})
        return session_id

    def send(self, session_id: str, *, required: bool = True, **fields: Any) -> str:
        """Send content and components; the id of the message."""
        people = self.call("GET", f"/sessions/{session_id}/participants")["items"]
        keys = [key for person in people for key in person["keys"]]
        body = {
            f"encrypted{name.capitalize()}": self.sealed(session_id, name, value, keys)
            for name, value in fields.items()
        }
        message = self.call("POST", f"/sessions/{session_id}/messages", {**body, "responseRequired": required})
        return str(message["id"])

    def ask(self, title: str, *components: dict[str, Any], **options: Any) -> str:
        """A new session with one message of these components; the id of the session."""
        session_id = self.new_session(title, **options)
        self.send(session_id, components=list(components))
        return session_id

    def sealed(self, session_id: str, name: str, value: Any, keys: list[dict[str, str]]) -> dict[str, Any]:
        return seal(
            json.dumps(value).encode(),
            sender=self._pair,
            recipients=[b64decode(key["publicKey"]) for key in keys],
            session_id=session_id,
            field_name=f"encrypted{name.capitalize()}",
        )

    def opened(self, session_id: str, field_name: str, envelope: Any) -> Any:
        keyring = Keyring([self._pair])
        return open_envelope(envelope, keyring=keyring, session_id=session_id, field_name=field_name).value

    def answer(self, session_id: str) -> Any:
        """Wait for the human's answer to the latest question, and decrypt it."""
        response = self.call("GET", f"/sessions/{session_id}/await?timeout=10")["response"]
        assert response is not None, "nobody has answered"
        return self.opened(session_id, "encryptedResponse", response["encryptedResponse"])
