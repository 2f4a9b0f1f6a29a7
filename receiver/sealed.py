"""Where encrypted fields stand in an event. Knows no key and opens nothing, so the web process may use it. Pure.

An encrypted field is an object `{ciphertext, wrappings}` under a key like `encryptedFoo`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from receiver.events import RESPONSE_TYPE, Event

_CONTAINERS: Final = frozenset({dict, list})


def is_envelope(value: Any) -> bool:
    """Whether ``value`` has the shape of an encrypted field; says nothing about whether it opens."""
    return isinstance(value, Mapping) and "ciphertext" in value and "wrappings" in value


def opened_name(name: str) -> str | None:
    """``encryptedFoo`` → ``foo``, the name an encrypted field has once it is open; None for other names."""
    rest = name.removeprefix("encrypted")
    return rest[0].lower() + rest[1:] if rest != name and rest[:1].isupper() else None


def encrypted_fields(value: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The encrypted fields anywhere in ``value``, each with the name it has once it is open: those a worker opens.

    In no particular order, and without recursion: it is asked for every event that is accepted.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    parts: list[Any] = [value]
    for part in parts:  # grows while it is walked
        if type(part) is list:
            parts.extend(child for child in part if type(child) in _CONTAINERS)
            continue
        for name, child in part.items():
            kind = type(child)
            if kind is dict and name.startswith("encrypted") and is_envelope(child) and (target := opened_name(name)):
                found.append((target, child))
            elif kind in _CONTAINERS:
                parts.append(child)
    return found


def answer_digest(event: Event) -> str:
    """What a human's answer is recognised by, under whatever event id it comes: a hash of its ciphertext.

    Nobody without its keys can seal the same answer once more in other bytes. Empty for an event without an answer.
    """
    if event.type != RESPONSE_TYPE:
        return ""
    for name, envelope in encrypted_fields(event.payload):
        if name == "response" and isinstance(envelope["ciphertext"], str):
            return hashlib.sha256(envelope["ciphertext"].encode()).hexdigest()[:32]
    return ""
