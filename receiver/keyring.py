"""Key pairs, key ids, and the keyring an agent opens with. Pure; profile v1 of the wire contract.

X25519 after RFC 7748, HKDF after RFC 5869. PyNaCl computes both the curve and AES-GCM; HKDF is thirty lines of
the standard library's HMAC, checked against the vectors of the RFC.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from receiver.errors import BadEnvelope

KEY_BYTES: Final = 32
AGENT_KEY_INFO: Final = b"hiloop/v1/agent-key"
AGENT_KEY: Final = re.compile(r"([A-Za-z0-9+/]{43}=)(?:\s*=\s*(\S.*))?", re.ASCII)
API_KEY: Final = re.compile(r"hlp_([0-9a-f]{64})", re.ASCII)


def hkdf_sha256(ikm: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869): ``length`` bytes derived from ``ikm``. An empty ``salt`` means 32 zero bytes."""
    pseudo_random_key = hmac.digest(salt or bytes(32), ikm, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudo_random_key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


def key_id(public_key: bytes) -> str:
    """The id of a public key: the first 32 hex characters of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 key pair. The private key shows in no repr. ``agent`` is the only agent whose key it is; empty: any."""

    private_key: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    key_id: str
    agent: str = ""

    @classmethod
    def from_private(cls, private_key: bytes) -> KeyPair:
        """Make the pair of a 32-byte private key. Raises `ValueError` for any other length."""
        if len(private_key) != KEY_BYTES:
            raise ValueError(f"a private key has {KEY_BYTES} bytes, not {len(private_key)}")
        public_key = crypto_scalarmult_base(private_key)
        return cls(private_key, public_key, key_id(public_key))

    @classmethod
    def from_base64(cls, text: str) -> KeyPair:
        """Make the pair of a private key in standard base64, which ``= agent name`` may follow.

        Raises `ValueError` with how to mend it.
        """
        match = AGENT_KEY.fullmatch(text)
        if match is None:
            raise ValueError(
                "an agent key is 32 bytes in standard base64 (44 characters), followed by `= agent name` if it is that "
                "agent's alone; make one with `hiloop-receiver keys new`"
            )
        return replace(cls.from_private(base64.b64decode(match[1])), agent=match[2] or "")

    @classmethod
    def from_api_key(cls, api_key: str) -> KeyPair:
        """Derive an agent's pair from its API key (``hlp_`` and 64 hex digits). Raises `ValueError`."""
        match = API_KEY.fullmatch(api_key)
        if match is None:
            raise ValueError("an API key is `hlp_` followed by 64 lower-case hex digits")
        seed = bytes.fromhex(match[1])
        return cls.from_private(hkdf_sha256(seed, salt=b"", info=AGENT_KEY_INFO, length=KEY_BYTES))


class Keyring:
    """The key pairs one can open with, the current one first; older ones keep old content readable.

    The secret that is shared with a sender does not depend on the event, so the last few are remembered: computing
    one is half the cost of opening an envelope.
    """

    def __init__(self, pairs: Iterable[KeyPair]) -> None:
        self._pairs = {pair.key_id: pair for pair in pairs}
        self._shared = lru_cache(maxsize=1024)(self._compute_shared)
        self._of_agent = lru_cache(maxsize=64)(self._select)

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(self._pairs) or 'empty'}>"

    def __contains__(self, recipient_key_id: object) -> bool:
        return recipient_key_id in self._pairs

    def __iter__(self) -> Iterator[KeyPair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def of_agent(self, name: str) -> Keyring:
        """Those of the keys that the agent of this name may use: its own first, then those of all agents."""
        return self._of_agent(name) if any(pair.agent for pair in self) else self

    @property
    def current(self) -> KeyPair:
        """The pair to seal with and to publish. Raises `LookupError` for an empty keyring."""
        for pair in self._pairs.values():
            return pair
        raise LookupError("the keyring is empty")

    def shared_secret(self, recipient_key_id: str, public_key: bytes) -> bytes:
        """X25519 of our pair ``recipient_key_id`` and the other side's ``public_key``: 32 bytes.

        Raises `BadEnvelope` for a public key that gives the all-zero result (RFC 7748, section 6.1).
        """
        return self._shared(recipient_key_id, public_key)

    def _select(self, agent: str) -> Keyring:
        usable = (pair for pair in self if pair.agent in ("", agent))
        return Keyring(sorted(usable, key=lambda pair: not pair.agent))

    def _compute_shared(self, recipient_key_id: str, public_key: bytes) -> bytes:
        return shared_secret(self._pairs[recipient_key_id].private_key, public_key)


def shared_secret(private_key: bytes, public_key: bytes) -> bytes:
    """X25519(``private_key``, ``public_key``). Raises `BadEnvelope` where the result is all zero."""
    try:
        secret = crypto_scalarmult(private_key, public_key)
    except RuntimeError:  # how PyNaCl reports an all-zero result
        raise BadEnvelope("the sender's public key is of low order") from None
    if secret == bytes(KEY_BYTES):
        raise BadEnvelope("the sender's public key is of low order")
    return secret
