"""Opening all encrypted fields of an event, wherever they stand: sealed content wins over what stands beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.envelope import Opened, open_fields, seal
from receiver.errors import BadCiphertext, BadEnvelope, OpenError
from receiver.events import Event
from receiver.keyring import KeyPair, Keyring
from receiver.sealed import is_envelope, opened_name
from workers.opened import open_event

AGENT = KeyPair.from_private(bytes(range(32)))
HUMAN = KeyPair.from_private(bytes(range(32, 64)))
OTHER = KeyPair.from_private(bytes(range(64, 96)))
KEYRING = Keyring([AGENT])
SESSION = "s-1"


def envelope(text: str, name: str, sender: KeyPair = HUMAN, recipient: KeyPair = AGENT) -> dict[str, Any]:
    """``text`` sealed under the field ``name``."""
    return seal(text.encode(), sender=sender, recipients=[recipient.public_key], session_id=SESSION, field_name=name)


NAMES = {
    "encryptedResponse": "response",
    "encryptedFormData": "formData",
    "encryptedX": "x",
    "encryptedÄrger": "ärger",
    "encrypted": None,
    "encryptedresponse": None,
    "encrypted1": None,
    "encrypted_response": None,
    "EncryptedResponse": None,
    "response": None,
    "": None,
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_opened_name(name: str, expected: str | None) -> None:
    assert opened_name(name) == expected


VALUES = {
    "JSON string": ('"approve"', "approve"),
    "object": ('{"q1": ["a", 1, null]}', {"q1": ["a", 1, None]}),
    "number": ("17", 17),
    "null": ("null", None),
    "text": ("Deploy it, please.", "Deploy it, please."),
    "empty": ("", ""),
    "half of JSON": ('{"a":', '{"a":'),
    "unicode": ('"☃ é"', "☃ é"),
}


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES.keys())
def test_value(text: str, value: Any) -> None:
    assert Opened(text.encode(), "k").value == value


def test_a_plaintext_too_deep_for_json_is_text() -> None:
    text = "[" * 100_000
    assert Opened(text.encode(), "k").value == text


def test_a_plaintext_that_is_not_utf8_is_a_bad_envelope() -> None:
    with pytest.raises(BadEnvelope):
        _ = Opened(b"\xff", "k").value


def opened(value: Any) -> Any:
    return open_fields(value, keyring=KEYRING, session_id=SESSION)


def test_fields_open_wherever_they_stand() -> None:
    value = {
        "data": {
            "response": {"id": "r", "encryptedResponse": envelope('"yes"', "encryptedResponse")},
            "items": [{"encryptedTitle": envelope("Title", "encryptedTitle")}, "plain"],
        },
        "encryptedNote": envelope("7", "encryptedNote", sender=OTHER),
    }
    fields = opened(value)
    assert fields.value == {
        "data": {"response": {"id": "r", "response": "yes"}, "items": [{"title": "Title"}, "plain"]},
        "note": 7,
    }
    assert fields.first == {"response": "yes", "title": "Title", "note": 7}
    assert set(fields.senders) == {HUMAN.key_id, OTHER.key_id}


@pytest.mark.parametrize("order", [("response", "encryptedResponse"), ("encryptedResponse", "response")])
def test_plaintext_beside_a_sealed_field_never_wins(order: tuple[str, str]) -> None:
    parts = {"response": "reject", "encryptedResponse": envelope('"approve"', "encryptedResponse")}
    fields = opened({"data": {name: parts[name] for name in order}})
    assert fields.value == {"data": {"response": "approve"}}
    assert fields.first == {"response": "approve"}


@pytest.mark.parametrize("plain_first", [True, False])
def test_a_response_that_was_not_sealed_is_none(plain_first: bool) -> None:
    plain = {"response": "approve"}
    sealed_other = {"encryptedNote": envelope('"hello"', "encryptedNote")}
    data = plain | sealed_other if plain_first else sealed_other | plain
    event = Event.from_bytes(json.dumps({"type": "response.created", "sessionId": SESSION, "data": data}).encode())
    result = open_event(event, KEYRING)
    assert result.response is None
    assert result.data["note"] == "hello"


def test_the_first_sealed_response_is_the_answer() -> None:
    value = {
        "a": {"encryptedResponse": envelope('"first"', "encryptedResponse")},
        "b": {"encryptedResponse": envelope('"second"', "encryptedResponse")},
    }
    assert opened(value).first["response"] == "first"


def test_a_sealed_field_inside_a_plain_response_is_not_the_answer_of_its_parent() -> None:
    value = {"response": {"encryptedResponse": envelope('"approve"', "encryptedResponse"), "response": "reject"}}
    assert opened(value).value == {"response": {"response": "approve"}}


def test_an_envelope_under_another_name_stays_as_it_is() -> None:
    value = {"box": envelope("secret", "box"), "encryptedresponse": envelope("secret", "encryptedresponse")}
    assert opened(value).value == value


def test_an_encrypted_name_without_an_envelope_stays_as_it_is() -> None:
    value = {"encryptedResponse": "text", "encryptedContent": {"ciphertext": "AAAA"}, "encryptedTitle": None}
    assert opened(value).value == value
    assert opened(value).first == {}


def test_what_is_opened_is_not_opened_again() -> None:
    inner = {"encryptedResponse": envelope('"approve"', "encryptedResponse")}
    outer = {"encryptedData": envelope(json.dumps(inner), "encryptedData")}
    assert opened(outer).first == {"data": inner}


def test_one_field_that_does_not_open_spoils_the_event() -> None:
    value = {"encryptedA": envelope("1", "encryptedA"), "encryptedB": envelope("2", "encryptedA")}
    with pytest.raises(BadCiphertext):
        opened(value)


def test_reprs_show_no_content() -> None:
    fields = opened({"encryptedA": envelope('"canary"', "encryptedA"), "b": "canary"})
    assert "canary" not in repr(fields)
    data = {"encryptedResponse": envelope('"canary"', "encryptedResponse")}
    event = Event.from_bytes(json.dumps({"sessionId": SESSION, "data": data}).encode())
    assert "canary" not in repr(open_event(event, KEYRING))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "encryptedA", "ciphertext", "wrappings"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def holds_envelope(value: Any) -> bool:
    """Whether an encrypted field stands anywhere in ``value``."""
    if isinstance(value, list):
        return any(holds_envelope(child) for child in value)
    if not isinstance(value, dict):
        return False
    return any(
        (opened_name(name) is not None and is_envelope(child)) or holds_envelope(child) for name, child in value.items()
    )


@given(json_values)
def test_any_json_opens_unchanged_or_gives_one_family_of_errors(value: Any) -> None:
    if holds_envelope(value):
        with pytest.raises(OpenError):
            opened(value)
    else:
        assert opened(value).value == value


@given(st.dictionaries(st.sampled_from(["x", "response", "y"]), json_values.filter(lambda v: not holds_envelope(v))))
def test_a_sealed_answer_is_found_among_anything(beside: dict[str, Any]) -> None:
    sealed_answer = {"encryptedResponse": envelope('"approve"', "encryptedResponse")}
    for value in (sealed_answer | beside, beside | sealed_answer):
        fields = opened(value)
        assert fields.first == {"response": "approve"}
        assert fields.value == {**beside, "response": "approve"}
