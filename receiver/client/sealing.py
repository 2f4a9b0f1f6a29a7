"""Seal what a session is told and open what it tells: keys are found, published and refreshed here. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from receiver.client import fields, profile_v1, routes
from receiver.client.caller import Caller
from receiver.client.exchange import Call, exchange
from receiver.client.key_cache import Scope, new_sessions_of
from receiver.client.listings import gather, listing
from receiver.client.models import PublicKey
from receiver.client.routes import Route
from receiver.envelope import Envelope, open_envelope, seal
from receiver.errors import BadEnvelope, HiloopError, MalformedAnswer, OpenError, ValidationFailed
from receiver.keyring import KEY_BYTES, Keyring, key_id

T = TypeVar("T")


def publish_key(caller: Caller) -> Call[str]:
    """Tell the API this agent's current public key, so that humans can seal for it; returns the key's id.

    The client does so itself before it seals anything. A worker that only listens calls it once at its start.
    Raises `HiloopError`.
    """
    pair = caller.keyring.current
    public_key = base64.b64encode(pair.public_key).decode("ascii")
    answer = yield from exchange(caller, profile_v1.PUBLISH_KEY, body={"publicKey": public_key})
    if fields.text(answer, "keyId") != pair.key_id:
        raise MalformedAnswer("the API has noted another key than the one that was published")
    caller.key_cache.note_published(caller.name)
    return pair.key_id


def send_sealed(
    caller: Caller,
    route: Route,
    *,
    session_id: str,
    scope: Scope,
    sealed: Mapping[str, Any],
    plain: Mapping[str, Any],
    ids: Mapping[str, str] | None = None,
) -> Call[dict[str, Any]]:
    """Call ``route`` with the ``sealed`` fields encrypted for everybody in ``scope``, and the ``plain`` ones.

    Seals again, once, if the API says that somebody's key has changed. Raises `HiloopError`.
    """
    texts = {name: _plaintext(value, name) for name, value in sealed.items()}

    def attempt() -> Call[dict[str, Any]]:
        if not caller.key_cache.is_published(caller.name):
            yield from publish_key(caller)
        recipients = yield from _recipients(caller, scope)
        envelopes = {
            name: _seal(caller, text, recipients, session_id=session_id, field_name=name)
            for name, text in texts.items()
        }
        return (yield from exchange(caller, route, ids=ids, body={**plain, **envelopes}))

    try:
        return (yield from attempt())
    except HiloopError as error:
        if error.code != profile_v1.KEYS_CHANGED:
            raise
    caller.key_cache.forget(scope)
    caller.key_cache.note_unpublished(caller.name)
    return (yield from attempt())


class Opener:
    """Opens the sealed fields of one object, and notes the first reason why one did not open."""

    def __init__(self, keyring: Keyring, session_id: str, raw: fields.Fields) -> None:
        self._keyring = keyring
        self._session_id = session_id
        self._raw = raw
        self.error: str | None = None
        self.sender_key_id: str | None = None

    def value(self, name: str) -> Any:
        """What is sealed under ``name``; None where it is null, missing, or does not open."""
        envelope = self._raw.get(name)
        if envelope is None:
            return None
        try:
            opened = open_envelope(envelope, keyring=self._keyring, session_id=self._session_id, field_name=name)
            value = opened.value
        except OpenError as problem:
            self.error = self.error or problem.reason
            return None
        self.sender_key_id = opened.sender_key_id
        return value

    def text(self, name: str) -> str | None:
        """As `value`; anything but a string is a bad envelope."""
        return self._expect(self.value(name), str)

    def mapping(self, name: str) -> dict[str, Any] | None:
        """As `value`; anything but an object is a bad envelope."""
        return self._expect(self.value(name), dict)

    def components(self, name: str) -> list[dict[str, Any]] | None:
        """As `value`; anything but a list of objects is a bad envelope."""
        found = self._expect(self.value(name), list)
        is_right = found is not None and all(self._expect(item, dict) is not None for item in found)
        return found if is_right else None

    def _expect(self, value: Any, kind: type[T]) -> T | None:
        if isinstance(value, kind):
            return value
        if value is not None:
            self.error = self.error or BadEnvelope.reason
        return None


def read_key(raw: fields.Fields) -> PublicKey:
    """The public key of ``{keyId, publicKey}``. Raises `MalformedAnswer`, also for another key's id."""
    try:
        public_key = base64.b64decode(fields.text(raw, "publicKey"), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedAnswer("the answer's publicKey is not base64") from None
    if len(public_key) != KEY_BYTES or fields.text(raw, "keyId") != key_id(public_key):
        raise MalformedAnswer("the answer's keyId is not the id of its publicKey")
    return PublicKey(key_id(public_key), public_key)


def _recipients(caller: Caller, scope: Scope) -> Call[tuple[bytes, ...]]:
    known = caller.key_cache.get(scope, caller.clock())
    if known is None:
        if scope == new_sessions_of(caller.name):
            first = yield from listing(caller, profile_v1.LIST_KEYS, _listed_key)
        else:
            first = yield from listing(
                caller, routes.LIST_PARTICIPANTS, _participant_keys, ids={"session_id": scope.name}
            )
        everybody = yield from gather(first)
        others = (key.public_key for keys in everybody.items for key in keys)
        # Our own current key comes first: what we send must stay readable to ourselves.
        known = tuple(dict.fromkeys([caller.keyring.current.public_key, *others]))
        caller.key_cache.put(scope, known, caller.clock())
    return known


def _listed_key(raw: fields.Fields) -> tuple[PublicKey, ...]:
    return (read_key(raw),)


def _participant_keys(raw: fields.Fields) -> tuple[PublicKey, ...]:
    return tuple(read_key(key) for key in fields.children(raw, "keys"))


def _seal(caller: Caller, text: bytes, recipients: tuple[bytes, ...], *, session_id: str, field_name: str) -> Envelope:
    try:
        return seal(
            text,
            sender=caller.keyring.current,
            recipients=recipients,
            session_id=session_id,
            field_name=field_name,
        )
    except BadEnvelope:
        raise MalformedAnswer("the API gave a public key of low order, which nothing may be sealed for") from None


def _plaintext(value: Any, name: str) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        # The encoder's own message quotes the value.
        raise ValidationFailed(f"{name.removeprefix('encrypted').lower()} cannot be written as JSON") from None
