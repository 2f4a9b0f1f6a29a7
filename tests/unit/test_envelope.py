"""Envelopes: every vector, every flipped bit, and any JSON in place of one."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import envelope as module
from receiver.envelope import MAX_WRAPPINGS, open_envelope, seal
from receiver.errors import BadCiphertext, BadEnvelope, OpenError, UnknownKey
from receiver.keyring import KeyPair, Keyring, key_id

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "profile-v1.json").read_text("utf-8"))
VECTOR_KEYRING = Keyring(KeyPair.from_base64(key["private_key"]) for key in VECTORS["agent_keys"][1:])

AGENT = KeyPair.from_private(bytes(range(32)))
HUMAN = KeyPair.from_private(bytes(range(32, 64)))
OTHER = KeyPair.from_private(bytes(range(64, 96)))
KEYRING = Keyring([AGENT])
PLACE: Any = {"session_id": "s-1", "field_name": "encryptedResponse"}


def sealed(plaintext: bytes = b'"approve"', **options: Any) -> dict[str, Any]:
    """An envelope from the human for the agent."""
    return seal(plaintext, **{"sender": HUMAN, "recipients": [AGENT.public_key], **PLACE, **options})


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors_open(case: dict[str, Any]) -> None:
    opened = open_envelope(
        case["envelope"], keyring=VECTOR_KEYRING, session_id=case["session_id"], field_name=case["field"]
    )
    assert opened.plaintext.decode() == case["plaintext"]
    assert opened.sender_key_id == case["sender_key_id"]


@pytest.mark.parametrize("number", range(len(VECTORS["invalid"])))
def test_invalid_vectors_are_refused_by_name(number: int) -> None:
    case = VECTORS["invalid"][number]
    with pytest.raises(OpenError) as caught:
        open_envelope(case["envelope"], keyring=VECTOR_KEYRING, session_id=case["session_id"], field_name=case["field"])
    assert caught.value.reason == case["error"]


def test_invalid_vectors_have_every_name() -> None:
    assert {case["error"] for case in VECTORS["invalid"]} == {"unknown_key", "bad_envelope", "bad_ciphertext"}


def test_sealing_takes_key_nonce_and_salt_from_its_randomness() -> None:
    asked: list[int] = []

    def counting(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)] * size)

    made = sealed(random=counting, recipients=[AGENT.public_key, OTHER.public_key])
    assert asked == [32, 12, 32, 32]
    assert base64.b64decode(made["ciphertext"])[:12] == bytes([2] * 12)
    assert [base64.b64decode(one["salt"]) for one in made["wrappings"]] == [bytes([3] * 32), bytes([4] * 32)]
    assert open_envelope(made, keyring=KEYRING, **PLACE).value == "approve"


def test_two_envelopes_of_one_text_share_nothing() -> None:
    one, other = sealed(), sealed()
    assert one["ciphertext"][:16] != other["ciphertext"][:16]
    for name in ("salt", "wrappedKey"):
        assert one["wrappings"][0][name] != other["wrappings"][0][name]


def test_an_envelope_has_exactly_the_documented_parts() -> None:
    made = sealed()
    assert made.keys() == {"ciphertext", "wrappings"}
    assert [one.keys() for one in made["wrappings"]] == [
        {"recipientKeyId", "senderKeyId", "senderPublicKey", "salt", "wrappedKey"}
    ]


@given(st.binary(max_size=2000), st.text(max_size=30), st.text(max_size=20), st.integers(0, 3))
def test_what_is_sealed_opens_for_each_recipient(plaintext: bytes, session: str, name: str, others: int) -> None:
    recipients = [KeyPair.from_private(bytes([number + 1] * 32)) for number in range(others)] + [AGENT]
    made = seal(
        plaintext,
        sender=HUMAN,
        recipients=[pair.public_key for pair in recipients],
        session_id=session,
        field_name=name,
    )
    made = json.loads(json.dumps(made))
    for pair in recipients:
        opened = open_envelope(made, keyring=Keyring([OTHER, pair]), session_id=session, field_name=name)
        assert (opened.plaintext, opened.sender_key_id) == (plaintext, HUMAN.key_id)
    with pytest.raises(UnknownKey):
        open_envelope(made, keyring=Keyring([OTHER]), session_id=session, field_name=name)


@given(st.text(max_size=10), st.text(max_size=10))
def test_an_envelope_opens_only_in_its_place(session: str, name: str) -> None:
    made = sealed()
    if (session, name) != ("s-1", "encryptedResponse"):
        with pytest.raises(BadCiphertext):
            open_envelope(made, keyring=KEYRING, session_id=session, field_name=name)


@pytest.mark.parametrize(
    "place",
    [
        {"session_id": "s-2", "field_name": "encryptedResponse"},
        {"session_id": "s-1", "field_name": "encryptedContent"},
        {"session_id": "", "field_name": "encryptedResponse"},
        {"session_id": "S-1", "field_name": "encryptedResponse"},
    ],
)
def test_content_cut_out_does_not_open_elsewhere(place: dict[str, str]) -> None:
    with pytest.raises(BadCiphertext):
        open_envelope(sealed(), keyring=KEYRING, **place)


def flipped(data: bytes) -> list[bytes]:
    """``data`` with each of its bits flipped, one at a time."""
    return [
        data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
        for position in range(len(data))
        for bit in range(8)
    ]


@pytest.mark.parametrize("part", ["ciphertext", "senderPublicKey", "salt", "wrappedKey"])
def test_no_flipped_bit_opens(part: str) -> None:
    genuine = sealed()
    holder = genuine if part == "ciphertext" else genuine["wrappings"][0]
    original = base64.b64decode(holder[part])
    assert len(original) >= 32
    for changed in flipped(original):
        holder[part] = base64.b64encode(changed).decode()
        with pytest.raises(OpenError):
            open_envelope(genuine, keyring=KEYRING, **PLACE)
    holder[part] = base64.b64encode(original).decode()
    assert open_envelope(genuine, keyring=KEYRING, **PLACE).value == "approve"


@pytest.mark.parametrize(
    "part", ["ciphertext", "senderPublicKey", "salt", "wrappedKey", "senderKeyId", "recipientKeyId"]
)
def test_no_flipped_bit_of_the_text_opens(part: str) -> None:
    genuine = sealed()
    holder = genuine if part == "ciphertext" else genuine["wrappings"][0]
    for changed in flipped(holder[part].encode()):
        damaged = copy.deepcopy(genuine)
        (damaged if part == "ciphertext" else damaged["wrappings"][0])[part] = changed.decode("latin-1")
        with pytest.raises(OpenError):
            open_envelope(damaged, keyring=KEYRING, **PLACE)


def test_no_flipped_bit_of_the_senders_key_opens_even_under_its_right_id() -> None:
    genuine = sealed()
    wrapping = genuine["wrappings"][0]
    for changed in flipped(HUMAN.public_key):
        wrapping["senderPublicKey"], wrapping["senderKeyId"] = base64.b64encode(changed).decode(), key_id(changed)
        with pytest.raises((BadCiphertext, BadEnvelope)):
            open_envelope(genuine, keyring=KEYRING, **PLACE)


@pytest.mark.parametrize("part", ["ciphertext", "senderPublicKey", "salt", "wrappedKey"])
def test_parts_of_another_length_do_not_open(part: str) -> None:
    genuine = sealed()
    holder = genuine if part == "ciphertext" else genuine["wrappings"][0]
    data = base64.b64decode(holder[part])
    for changed in [*(data[:length] for length in range(len(data))), data + b"\0", data + data]:
        holder[part] = base64.b64encode(changed).decode()
        with pytest.raises(OpenError):
            open_envelope(genuine, keyring=KEYRING, **PLACE)


def test_parts_of_two_envelopes_do_not_mix() -> None:
    one, other = sealed(), sealed(b'"reject"')
    for mixed in (
        {"ciphertext": one["ciphertext"], "wrappings": other["wrappings"]},
        {**one, "wrappings": [{**one["wrappings"][0], "salt": other["wrappings"][0]["salt"]}]},
        {**one, "wrappings": [{**one["wrappings"][0], "wrappedKey": other["wrappings"][0]["wrappedKey"]}]},
    ):
        with pytest.raises(BadCiphertext):
            open_envelope(mixed, keyring=KEYRING, **PLACE)


def test_a_wrapping_names_its_recipient_bindingly() -> None:
    made = sealed(recipients=[OTHER.public_key])
    made["wrappings"][0]["recipientKeyId"] = AGENT.key_id
    with pytest.raises(BadCiphertext):
        open_envelope(made, keyring=KEYRING, **PLACE)


def with_wrapping(**changes: Any) -> dict[str, Any]:
    """An envelope with parts of its wrapping replaced, or taken away (None)."""
    made = sealed()
    wrapping = {**made["wrappings"][0], **changes}
    return {**made, "wrappings": [{name: value for name, value in wrapping.items() if value is not None}]}


def unpadded(made: dict[str, Any]) -> dict[str, Any]:
    """The envelope without the padding of its ciphertext."""
    assert made["ciphertext"].endswith("=")
    return {**made, "ciphertext": made["ciphertext"].rstrip("=")}


BAD_SHAPES: dict[str, Any] = {
    "null": None,
    "text": "envelope",
    "a list": [],
    "empty": {},
    "no wrappings": {"ciphertext": "AAAA"},
    "no ciphertext": {"wrappings": []},
    "wrappings are an object": {**sealed(), "wrappings": {}},
    "a wrapping is text": {**sealed(), "wrappings": ["x"]},
    "a wrapping is null": {**sealed(), "wrappings": [None]},
    "a second wrapping is a number": {**sealed(), "wrappings": [*sealed()["wrappings"], 7]},
    "too many wrappings": {**sealed(), "wrappings": sealed()["wrappings"] * (MAX_WRAPPINGS + 1)},
    "ciphertext is a number": {**sealed(), "ciphertext": 7},
    "ciphertext is a list": {**sealed(), "ciphertext": ["AAAA"]},
    "ciphertext is empty": {**sealed(), "ciphertext": ""},
    "ciphertext shorter than nonce and tag": {**sealed(), "ciphertext": base64.b64encode(bytes(27)).decode()},
    "url-safe base64": {**sealed(), "ciphertext": "-_" * 40},
    "base64 without padding": unpadded(sealed(b"1234")),
    "base64 with a line break": {**sealed(), "ciphertext": sealed()["ciphertext"][:40] + "\n"},
    "base64 with spare bits": {**sealed(), "ciphertext": base64.b64encode(bytes(28)).decode()[:-3] + "B=="},
    "ciphertext is not ASCII": {**sealed(), "ciphertext": "ä" * 40},
    "ciphertext is a lone surrogate": {**sealed(), "ciphertext": "\ud800"},
    "no recipient": with_wrapping(recipientKeyId=None),
    "recipient is a number": with_wrapping(recipientKeyId=7),
    "no sender id": with_wrapping(senderKeyId=None),
    "sender id is a list": with_wrapping(senderKeyId=[]),
    "no sender key": with_wrapping(senderPublicKey=None),
    "another sender's id": with_wrapping(senderKeyId=OTHER.key_id),
    "another sender's key": with_wrapping(senderPublicKey=base64.b64encode(OTHER.public_key).decode()),
    "sender key of low order": with_wrapping(
        senderPublicKey=base64.b64encode(bytes(32)).decode(), senderKeyId=key_id(bytes(32))
    ),
    "no salt": with_wrapping(salt=None),
    "short salt": with_wrapping(salt=base64.b64encode(bytes(31)).decode()),
    "no wrapped key": with_wrapping(wrappedKey=None),
    "short wrapped key": with_wrapping(wrappedKey=base64.b64encode(bytes(47)).decode()),
}


@pytest.mark.parametrize("value", BAD_SHAPES.values(), ids=BAD_SHAPES.keys())
def test_bad_shapes(value: Any) -> None:
    with pytest.raises(BadEnvelope):
        open_envelope(value, keyring=KEYRING, **PLACE)


def test_no_wrapping_for_us_is_an_unknown_key() -> None:
    for value in (sealed(recipients=[OTHER.public_key]), {**sealed(), "wrappings": []}):
        with pytest.raises(UnknownKey):
            open_envelope(value, keyring=KEYRING, **PLACE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
base64_texts = st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
texts = base64_texts | st.sampled_from([AGENT.key_id, HUMAN.key_id, *sealed()["wrappings"][0].values()]) | json_values
wrappings_ = st.dictionaries(
    st.sampled_from(["recipientKeyId", "senderKeyId", "senderPublicKey", "salt", "wrappedKey"]), texts
)
envelopes = st.fixed_dictionaries({"ciphertext": texts, "wrappings": st.lists(wrappings_ | json_values, max_size=3)})


@given(json_values | envelopes)
def test_any_json_gives_one_family_of_errors(value: Any) -> None:
    with pytest.raises(OpenError):
        open_envelope(value, keyring=KEYRING, **PLACE)


def test_errors_and_repr_show_no_plaintext() -> None:
    opened = open_envelope(sealed(b"canary"), keyring=KEYRING, **PLACE)
    assert opened.value == "canary"
    assert "canary" not in repr(opened)


@pytest.mark.parametrize(("length", "error"), [(31, ValueError), (33, ValueError), (0, ValueError), (32, BadEnvelope)])
def test_sealing_for_a_key_that_is_none(length: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        sealed(recipients=[bytes(length)])


def test_exported_sizes_are_those_of_the_contract() -> None:
    assert (module.NONCE_BYTES, module.TAG_BYTES, module.SALT_BYTES) == (12, 16, 32)
