"""Trusted senders: whose keys may decide, as the setting names them. Pure, and free of cryptography.

An entry is a public key (32 bytes in base64) or its key id, then `=` and a name, if you like:
`3q2+7w…= = Ada, 0f9c…= = Ben`. A key id is the first half of a SHA-256: to find another key with the id of a given one
takes about 2 ** 128 tries, so an id suffices; where the whole public key is given, the whole is compared.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_NAME_CHARS: Final = 100
_ENTRY: Final = re.compile(r"(?P<public>[A-Za-z0-9+/]{43}=)|(?P<id>[0-9a-f]{32})", re.ASCII)
_WHAT: Final = "a public key in base64 (44 characters) or a key id (32 hex digits), then = and a name"


def fingerprint(key_id: str) -> str:
    """A key id as two people compare it: ``0f9c 22ab …``, eight groups of four."""
    return " ".join(key_id[start : start + 4] for start in range(0, len(key_id), 4))


@dataclass(frozen=True, slots=True)
class TrustedSender:
    """A human's key that may decide, and the ``name`` you have given it (empty if none).

    ``public_key`` is empty where only the key's id was given.
    """

    key_id: str
    name: str = ""
    public_key: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return self.name or self.key_id

    @property
    def entry(self) -> str:
        """It as it is written in the setting."""
        key = base64.b64encode(self.public_key).decode() if self.public_key else self.key_id
        return f"{key} = {self.name}" if self.name else key


class TrustedSenders:
    """Those who may decide. None at all means that nothing is asked of an answer's sender."""

    def __init__(self, senders: Iterable[TrustedSender] = ()) -> None:
        """Raises `ValueError` where two senders share a key."""
        self._by_id: dict[str, TrustedSender] = {}
        for sender in senders:
            if self._by_id.setdefault(sender.key_id, sender) != sender:
                raise ValueError(f"names the key {sender.key_id} twice, and differently")

    def __repr__(self) -> str:
        return f"<TrustedSenders {', '.join(str(sender) for sender in self) or 'nobody'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrustedSenders) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by what it holds

    def __iter__(self) -> Iterator[TrustedSender]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    @classmethod
    def parse(cls, text: str) -> TrustedSenders:
        """Read the setting. Raises `ValueError` with what is wrong; no entry is quoted, since one may be a secret."""
        parts = [part.strip() for part in re.split(r"[,\n]", text)]
        if not any(parts):
            raise ValueError(f"holds only commas; an entry is {_WHAT}")
        return cls(_read(part, number) for number, part in enumerate(parts, 1) if part)

    def find(self, key_id: str, public_key: bytes) -> TrustedSender | None:
        """The trusted sender whose key this is, if it is one's."""
        sender = self._by_id.get(key_id)
        return sender if sender is not None and sender.public_key in (b"", public_key) else None


ANYBODY: Final = TrustedSenders()


def _read(entry: str, number: int) -> TrustedSender:
    match = _ENTRY.match(entry)
    rest = entry[match.end() :].strip() if match else ""
    if match is None or (rest and not rest.startswith("=")):
        raise ValueError(f"has an entry (number {number}) that is not {_WHAT}")
    name = rest[1:].strip()
    if not name.isprintable() or len(name) > MAX_NAME_CHARS:
        raise ValueError(f"has a name (number {number}) with more than {MAX_NAME_CHARS} or unprintable characters")
    if match["id"]:
        return TrustedSender(match["id"], name)
    public_key = base64.b64decode(match["public"])
    if base64.b64encode(public_key).decode() != match["public"]:
        raise ValueError(f"has a public key (number {number}) with a typo at its end: copy it once more")
    return TrustedSender(hashlib.sha256(public_key).hexdigest()[:32], name, public_key)
