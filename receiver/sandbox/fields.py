"""Read the fields of a request's JSON body, and collect everything that is wrong with it before answering."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from typing import Any, Final, cast

from receiver.envelope import MAX_WRAPPINGS, NONCE_BYTES, SALT_BYTES, TAG_BYTES
from receiver.errors import BadEnvelope
from receiver.keyring import KEY_BYTES, key_id, shared_secret
from receiver.sandbox.problems import Problem, invalid
from receiver.sandbox.records import PRIORITIES, Envelope

# Of each binary value of a wrapping: its length in bytes.
_WRAPPING: Final = {"senderPublicKey": KEY_BYTES, "salt": SALT_BYTES, "wrappedKey": KEY_BYTES + TAG_BYTES}
_KEY_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Fields:
    """The body of a request. Every method reads one field and notes what is wrong; `check` then raises it all."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self._details: list[dict[str, str]] = []

    def wrong(self, field: str, problem: str) -> None:
        """Note that ``field`` has a ``problem``; neither may quote the value."""
        self._details.append({"field": field, "problem": problem})

    def check(self) -> None:
        """Raise the `Problem` (422) that lists all that is wrong, if anything is."""
        if self._details:
            raise invalid(self._details)

    def problem(self, field: str, problem: str) -> Problem:
        """The `Problem` (422) of what has been noted so far and of this."""
        self.wrong(field, problem)
        return invalid(self._details)

    def text(self, name: str, *, limit: int = 200, required: bool = True) -> str:
        """A string of 1 to ``limit`` characters; empty if absent and not ``required``."""
        value = self.body.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            self.wrong(name, f"must be a string of 1 to {limit} characters")
            return ""
        return value

    def texts(self, name: str, *, limit: int = 100) -> list[str]:
        """A list of at most ``limit`` strings; empty if absent."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or len(value) > limit or not all(isinstance(each, str) for each in value):
            self.wrong(name, f"must be a list of at most {limit} strings")
            return []
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return default
        return value

    def number(self, name: str, *, low: float, high: float, default: float) -> float:
        """A number from ``low`` to ``high``."""
        value = self.body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.wrong(name, f"must be a number from {low:g} to {high:g}")
            return default
        return float(value)

    def priority(self, name: str = "priority", *, default: str = "Normal") -> str:
        """One of `PRIORITIES`, in any case."""
        value = self.body.get(name, default)
        found = value.capitalize() if isinstance(value, str) else None
        if found not in PRIORITIES:
            self.wrong(name, f"must be one of {', '.join(PRIORITIES)}")
            return default
        return found

    def session_id(self, name: str) -> str:
        """A version 4 UUID in its canonical form, as the client chooses it for a new session."""
        value = self.body.get(name)
        try:
            if isinstance(value, str) and str(uuid.UUID(value)) == value and uuid.UUID(value).version == 4:
                return value
        except ValueError:
            pass
        self.wrong(name, "must be a version 4 UUID in lower case: the sender chooses it, as sealed fields contain it")
        return ""

    def public_key(self, name: str) -> bytes:
        """A 32-byte X25519 public key in base64 that is not of low order."""
        key = _decoded(self.body.get(name))
        if key is None or len(key) != KEY_BYTES:
            self.wrong(name, f"must be {KEY_BYTES} bytes in standard base64 with padding")
            return b""
        try:
            shared_secret(bytes(range(KEY_BYTES)), key)
        except BadEnvelope:
            self.wrong(name, "is a point of low order: nothing sealed for it would be secret")
        return key

    def envelope(self, name: str, *, required: bool = True) -> Envelope | None:
        """An encrypted field of profile v1, checked as far as one can without a key."""
        value = self.body.get(name)
        if value is None and not required:
            return None
        problem = _envelope_problem(value)
        if problem is not None:
            self.wrong(name, problem)
            return None
        return cast("Envelope", value)


def _envelope_problem(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be an encrypted field: an object with ciphertext and wrappings"
    ciphertext, wrappings = _decoded(value.get("ciphertext")), value.get("wrappings")
    if ciphertext is None or len(ciphertext) < NONCE_BYTES + TAG_BYTES:
        return f"ciphertext must be at least {NONCE_BYTES + TAG_BYTES} bytes in standard base64"
    if not isinstance(wrappings, list) or not 0 < len(wrappings) <= MAX_WRAPPINGS:
        return f"wrappings must be a list of 1 to {MAX_WRAPPINGS} objects"
    return next((problem for each in wrappings if (problem := _wrapping_problem(each))), None)


def _wrapping_problem(wrapping: Any) -> str | None:
    if not isinstance(wrapping, dict):
        return "a wrapping must be an object"
    for name in ("recipientKeyId", "senderKeyId"):
        if not isinstance(wrapping.get(name), str) or not _KEY_ID.fullmatch(wrapping[name]):
            return f"{name} must be 32 hex digits"
    for name, length in _WRAPPING.items():
        data = _decoded(wrapping.get(name))
        if data is None or len(data) != length:
            return f"{name} must be {length} bytes in standard base64"
        if name == "senderPublicKey" and key_id(data) != wrapping["senderKeyId"]:
            return "senderKeyId must be the id of senderPublicKey"
    return None


def missing_recipients(envelopes: Sequence[Envelope | None], wanted: set[str]) -> bool:
    """Whether one of ``envelopes`` has no wrapping for one of the ``wanted`` key ids."""
    return any(
        wanted - {wrapping["recipientKeyId"] for wrapping in envelope["wrappings"]}
        for envelope in envelopes
        if envelope is not None
    )


def _decoded(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None
