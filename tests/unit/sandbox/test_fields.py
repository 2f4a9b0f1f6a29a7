"""Validation of request bodies: everything that is wrong is found, and nothing that was sent is quoted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.envelope import seal
from receiver.keyring import KeyPair
from receiver.sandbox.fields import Fields, missing_recipients
from receiver.sandbox.problems import Problem

PAIR = KeyPair.from_private(bytes(range(32)))
ENVELOPE = seal(b'"x"', sender=PAIR, recipients=[PAIR.public_key], session_id="s", field_name="f")


def changed(**wrapping: Any) -> dict[str, Any]:
    envelope = copy.deepcopy(ENVELOPE)
    envelope["wrappings"][0].update(wrapping)
    return envelope


def test_a_sealed_field_passes() -> None:
    fields = Fields({"f": ENVELOPE})
    assert fields.envelope("f") == ENVELOPE
    fields.check()


BAD_ENVELOPES: list[tuple[str, Any]] = [
    ("absent", None),
    ("text", "plaintext"),
    ("a list", [ENVELOPE]),
    ("no wrappings", {"ciphertext": ENVELOPE["ciphertext"]}),
    ("wrappings that are no list", {**ENVELOPE, "wrappings": {}}),
    ("empty wrappings", {**ENVELOPE, "wrappings": []}),
    ("too many wrappings", {**ENVELOPE, "wrappings": ENVELOPE["wrappings"] * 1025}),
    ("a wrapping that is no object", {**ENVELOPE, "wrappings": ["x"]}),
    ("a short ciphertext", {**ENVELOPE, "ciphertext": "AAAA"}),
    ("a ciphertext without padding", {**ENVELOPE, "ciphertext": ENVELOPE["ciphertext"].rstrip("=") + "A"}),
    ("a ciphertext that is no text", {**ENVELOPE, "ciphertext": 7}),
    ("a key id in upper case", changed(recipientKeyId="A" * 32)),
    ("a key id that is no text", changed(recipientKeyId=7)),
    ("another sender's id", changed(senderKeyId="0" * 32)),
    ("a short salt", changed(salt="AAAA")),
    ("no wrapped key", changed(wrappedKey=None)),
    ("a public key in URL-safe base64", changed(senderPublicKey="_" * 43 + "=")),
]


@pytest.mark.parametrize("value", [case[1] for case in BAD_ENVELOPES], ids=[case[0] for case in BAD_ENVELOPES])
def test_a_bad_envelope_is_refused(value: Any) -> None:
    fields = Fields({"f": value})
    assert fields.envelope("f") is None
    with pytest.raises(Problem, match=r"422 invalid_request: the request is not valid: f$"):
        fields.check()


def test_an_absent_envelope_may_be_allowed() -> None:
    fields = Fields({})
    assert fields.envelope("f", required=False) is None
    fields.check()


def test_all_that_is_wrong_is_told_at_once() -> None:
    fields = Fields({"name": "", "flag": 1, "number": True, "priority": "x", "list": [1]})
    fields.text("name")
    fields.flag("flag", default=False)
    fields.number("number", low=0, high=1, default=0)
    fields.priority()
    fields.texts("list")
    with pytest.raises(Problem) as caught:
        fields.check()
    assert [each["field"] for each in caught.value.details] == ["name", "flag", "number", "priority", "list"]


@pytest.mark.parametrize(("given_", "meant"), [("high", "High"), ("HIGH", "High"), ("Low", "Low")])
def test_priorities_in_any_case(given_: str, meant: str) -> None:
    assert Fields({"priority": given_}).priority() == meant


def test_who_is_missing_among_the_recipients() -> None:
    assert not missing_recipients([ENVELOPE, None], {PAIR.key_id})
    assert missing_recipients([ENVELOPE, None], {PAIR.key_id, "other"})
    assert not missing_recipients([None], {PAIR.key_id})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    value=json_values
    | st.fixed_dictionaries({"ciphertext": json_values, "wrappings": json_values})
    | st.builds(lambda wrapping: {**ENVELOPE, "wrappings": [wrapping]}, json_values)
)
def test_hostile_values_give_problems_and_nothing_else(value: Any) -> None:
    fields = Fields(dict.fromkeys(("a", "b", "c", "d", "e", "f", "g", "priority"), value))
    fields.text("a")
    fields.texts("b")
    fields.flag("c", default=False)
    fields.number("d", low=0, high=1, default=0)
    fields.session_id("e")
    fields.public_key("f")
    fields.envelope("g")
    fields.priority()
    with pytest.raises(Problem):
        fields.check()
