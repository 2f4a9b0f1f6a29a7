"""Seal and open encrypted fields. Pure; profile v1 of the wire contract.

An envelope is ``{"ciphertext": …, "wrappings": [{…}, …]}``: the plaintext under a fresh content key
(AES-256-GCM, NIST SP 800-38D), and the content key once for every recipient under a key that HKDF derives from
X25519(sender, recipient) and a fresh salt. Session and field name are authenticated with both.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nacl.bindings import (
    crypto_aead_aes256gcm_decrypt,
    crypto_aead_aes256gcm_encrypt,
)
from nacl.exceptions import CryptoError, UnavailableError

from receiver.errors import BadCiphertext, BadEnvelope, UnknownKey
from receiver.keyring import KEY_BYTES, KeyPair, Keyring, hkdf_sha256, key_id, shared_secret
from receiver.sealed import is_envelope, opened_name

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SALT_BYTES: Final = 32
# A field has a handful of recipients; a longer list is somebody's attempt to keep the worker busy.
MAX_WRAPPINGS: Final = 1024

Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """The plaintext of one encrypted field, whose key it was sealed with, and which of ours it was sealed for."""

    plaintext: bytes = field(repr=False)
    sender_key_id: str
    sender_public_key: bytes = field(default=b"", repr=False)
    recipient_key_id: str = ""

    @property
    def value(self) -> Any:
        """The plaintext as JSON; text that is not JSON is kept as text. Raises `BadEnvelope` if it is not UTF-8."""
        try:
            text = self.plaintext.decode("utf-8")
        except UnicodeDecodeError:
            raise BadEnvelope("the plaintext is not UTF-8") from None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


def has_aes() -> bool:
    """Whether this processor has the AES instructions that libsodium's AES-256-GCM needs."""
    try:
        crypto_aead_aes256gcm_encrypt(b"", None, bytes(NONCE_BYTES), bytes(KEY_BYTES))
    except UnavailableError:
        return False
    return True


def associated_data(session_id: str, field_name: str) -> bytes:
    """What ties a ciphertext to its place: content cut out of one session or field does not open in another."""
    return f"hiloop/v1|{session_id}|{field_name}".encode("utf-8", "surrogatepass")


def seal(
    plaintext: bytes,
    *,
    sender: KeyPair,
    recipients: Iterable[bytes],
    session_id: str,
    field_name: str,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Envelope:
    """Encrypt ``plaintext`` once for all ``recipients`` (their 32-byte public keys).

    Raises `BadEnvelope` for a recipient's key of low order and `ValueError` for one that has not 32 bytes.
    """
    aad = associated_data(session_id, field_name)
    content_key, nonce = random(KEY_BYTES), random(NONCE_BYTES)
    ciphertext = nonce + crypto_aead_aes256gcm_encrypt(plaintext, aad, nonce, content_key)
    wrappings = []
    for public_key in recipients:
        if len(public_key) != KEY_BYTES:
            raise ValueError(f"a public key has {KEY_BYTES} bytes, not {len(public_key)}")
        salt = random(SALT_BYTES)
        secret = shared_secret(sender.private_key, public_key)
        key, nonce = _wrapping_key(secret, salt, key_id(public_key), sender.key_id)
        wrappings.append(
            {
                "recipientKeyId": key_id(public_key),
                "senderKeyId": sender.key_id,
                "senderPublicKey": _to_base64(sender.public_key),
                "salt": _to_base64(salt),
                "wrappedKey": _to_base64(crypto_aead_aes256gcm_encrypt(content_key, aad, nonce, key)),
            }
        )
    return {"ciphertext": _to_base64(ciphertext), "wrappings": wrappings}


def open_envelope(envelope: Any, *, keyring: Keyring, session_id: str, field_name: str) -> Opened:
    """Decrypt ``envelope`` with the first of our keys it is wrapped for.

    Raises `UnknownKey`, `BadEnvelope` or `BadCiphertext`, and nothing else, whatever ``envelope`` is.
    """
    if not is_envelope(envelope):
        raise BadEnvelope("an envelope is an object with `ciphertext` and `wrappings`")
    ciphertext = _from_base64(envelope["ciphertext"], "ciphertext")
    if len(ciphertext) < NONCE_BYTES + TAG_BYTES:
        raise BadEnvelope("the ciphertext is too short")
    wrapping = _wrapping_for(keyring, envelope["wrappings"])
    recipient_key_id, sender_key_id = wrapping["recipientKeyId"], wrapping.get("senderKeyId")
    sender_public_key = _from_base64(wrapping.get("senderPublicKey"), "senderPublicKey", KEY_BYTES)
    salt = _from_base64(wrapping.get("salt"), "salt", SALT_BYTES)
    wrapped_key = _from_base64(wrapping.get("wrappedKey"), "wrappedKey", KEY_BYTES + TAG_BYTES)
    if sender_key_id != key_id(sender_public_key):
        raise BadEnvelope("senderKeyId is not the id of senderPublicKey")

    aad = associated_data(session_id, field_name)
    secret = keyring.shared_secret(recipient_key_id, sender_public_key)
    key, nonce = _wrapping_key(secret, salt, recipient_key_id, sender_key_id)
    content_key = _decrypt(wrapped_key, aad, nonce, key)
    if len(content_key) != KEY_BYTES:
        raise BadEnvelope("the content key has the wrong length")
    plaintext = _decrypt(ciphertext[NONCE_BYTES:], aad, ciphertext[:NONCE_BYTES], content_key)
    return Opened(plaintext, sender_key_id, sender_public_key, recipient_key_id)


@dataclass(frozen=True, slots=True)
class SealedField:
    """An encrypted field that was opened, under the ``name`` it has since."""

    name: str
    opened: Opened
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedFields:
    """A value whose encrypted fields have been opened; ``sealed`` are these, in the order in which they stand."""

    value: Any = field(repr=False)
    sealed: tuple[SealedField, ...]

    @property
    def first(self) -> dict[str, Any]:
        """The first opened field of each name: what it holds was sealed, whatever else stands in ``value``."""
        return {one.name: one.value for one in reversed(self.sealed)}

    @property
    def senders(self) -> tuple[str, ...]:
        """The ids of the keys that sealed the fields."""
        return tuple(dict.fromkeys(one.opened.sender_key_id for one in self.sealed))


def open_fields(value: Any, *, keyring: Keyring, session_id: str) -> OpenedFields:
    """Replace every encrypted field in ``value``, wherever it stands, by its plaintext.

    An envelope under ``encryptedFoo`` becomes its opened value under ``foo``, and wins over a plaintext ``foo`` that
    somebody put beside it. Raises as `open_envelope` does.
    """
    sealed: list[SealedField] = []

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(child) for child in part]
        if not isinstance(part, dict):
            return part
        plain: dict[str, Any] = {}
        opened: dict[str, Any] = {}
        for name, child in part.items():
            target = opened_name(name)
            if target is not None and is_envelope(child):
                result = open_envelope(child, keyring=keyring, session_id=session_id, field_name=name)
                opened[target] = result.value
                sealed.append(SealedField(target, result, opened[target]))
            else:
                plain[name] = walk(child)
        return plain | opened

    return OpenedFields(walk(value), tuple(sealed))


def _wrapping_for(keyring: Keyring, wrappings: Any) -> Mapping[str, Any]:
    if not isinstance(wrappings, list) or len(wrappings) > MAX_WRAPPINGS:
        raise BadEnvelope("wrappings is not a list of reasonable length")
    for wrapping in wrappings:
        if not isinstance(wrapping, dict) or not isinstance(wrapping.get("recipientKeyId"), str):
            raise BadEnvelope("a wrapping is not an object with a recipientKeyId")
    for wrapping in wrappings:
        if wrapping["recipientKeyId"] in keyring:
            return wrapping  # type: ignore[no-any-return]  # checked to be a dict above
    raise UnknownKey("none of our keys is among the recipients")


def _wrapping_key(secret: bytes, salt: bytes, recipient_key_id: str, sender_key_id: str) -> tuple[bytes, bytes]:
    info = f"hiloop/v1/wrap|{recipient_key_id}|{sender_key_id}".encode()
    okm = hkdf_sha256(secret, salt=salt, info=info, length=KEY_BYTES + NONCE_BYTES)
    return okm[:KEY_BYTES], okm[KEY_BYTES:]


def _decrypt(ciphertext: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    try:
        return crypto_aead_aes256gcm_decrypt(ciphertext, aad, nonce, key)
    except CryptoError:
        raise BadCiphertext("authentication failed") from None


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: Any, name: str, length: int | None = None) -> bytes:
    if not isinstance(text, str):
        raise BadEnvelope(f"{name} is not a string")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise BadEnvelope(f"{name} is not strict base64") from None
    # A decoder that ignores stray trailing bits would let one ciphertext have several spellings.
    if _to_base64(data) != text:
        raise BadEnvelope(f"{name} is not canonical base64")
    if length is not None and len(data) != length:
        raise BadEnvelope(f"{name} has {len(data)} bytes instead of {length}")
    return data
