"""Trusted senders: how the setting is written, and whose key is whose."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.keyring import KeyPair
from receiver.senders import TrustedSender, TrustedSenders, fingerprint
from tests.support.wire import AGENT, HUMAN

ADA = base64.b64encode(HUMAN.public_key).decode()
BEN = base64.b64encode(AGENT.public_key).decode()

SETTINGS: dict[str, tuple[str, list[tuple[str, str, bool]]]] = {
    "public key and name": (f"{ADA} = Ada", [(HUMAN.key_id, "Ada", True)]),
    "without blanks": (f"{ADA}=Ada", [(HUMAN.key_id, "Ada", True)]),
    "public key alone": (ADA, [(HUMAN.key_id, "", True)]),
    "an empty name": (f"{ADA} = ", [(HUMAN.key_id, "", True)]),
    "key id and name": (f"{HUMAN.key_id} = Ada Lovelace", [(HUMAN.key_id, "Ada Lovelace", False)]),
    "key id alone": (HUMAN.key_id, [(HUMAN.key_id, "", False)]),
    "several": (f"{ADA} = Ada, {BEN} = Ben,", [(HUMAN.key_id, "Ada", True), (AGENT.key_id, "Ben", True)]),
    "one a line": (f"{ADA} = Ada\n{BEN} = Ben\n", [(HUMAN.key_id, "Ada", True), (AGENT.key_id, "Ben", True)]),
    "two devices of one": (f"{ADA} = Ada, {BEN} = Ada", [(HUMAN.key_id, "Ada", True), (AGENT.key_id, "Ada", True)]),
    "the same entry twice": (f"{ADA} = Ada, {ADA} = Ada", [(HUMAN.key_id, "Ada", True)]),
    "a name with an equals sign": (f"{ADA} = Ada = A.", [(HUMAN.key_id, "Ada = A.", True)]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SETTINGS.values(), ids=SETTINGS.keys())
def test_what_can_be_written(text: str, expected: list[tuple[str, str, bool]]) -> None:
    senders = TrustedSenders.parse(text)
    assert [(one.key_id, one.name, bool(one.public_key)) for one in senders] == expected


WRONG = {
    "only commas": (" , ,", "only commas"),
    "a name alone": ("Ada", "number 1"),
    "name first": (f"Ada = {ADA}", "number 1"),
    "a key id too short": (HUMAN.key_id[:-1], "number 1"),
    "a key id too long": (HUMAN.key_id + "0", "number 1"),
    "a key id in upper case": (HUMAN.key_id.upper(), "number 1"),
    "base64 for URLs": ("-" * 43 + "=", "number 1"),
    "a public key without its padding": (ADA[:-1], "number 1"),
    "an entry after a good one": (f"{ADA} = Ada, canary", "number 2"),
    "a name without =": (f"{ADA} Ada", "number 1"),
    "a typo in the last character": ("A" * 42 + "B=", "typo"),
    "a name with a control character": (f"{ADA} = \x1b[31m", "unprintable"),
    "a name too long": (f"{ADA} = {'a' * 101}", "100"),
    "one key, two names": (f"{ADA} = Ada, {HUMAN.key_id} = Ben", "twice"),
}


@pytest.mark.parametrize(("text", "named"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        TrustedSenders.parse(text)
    assert "canary" not in str(caught.value)


@given(st.text())
def test_any_text_is_senders_or_one_kind_of_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(TrustedSenders.parse(text)) > 0


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(categories=["L", "N"]), max_size=20))
def test_an_entry_is_read_as_it_was_written(key: bytes, name: str) -> None:
    pair = KeyPair.from_private(key)
    sender = TrustedSender(pair.key_id, name, pair.public_key)
    assert TrustedSenders.parse(sender.entry) == TrustedSenders([sender])


def test_a_whole_public_key_is_compared_whole() -> None:
    by_key, by_id = TrustedSenders.parse(f"{ADA} = Ada"), TrustedSenders.parse(f"{HUMAN.key_id} = Ada")
    for senders in (by_key, by_id):
        found = senders.find(HUMAN.key_id, HUMAN.public_key)
        assert found is not None
        assert str(found) == "Ada"
        assert senders.find(AGENT.key_id, AGENT.public_key) is None
    assert by_key.find(HUMAN.key_id, AGENT.public_key) is None


def test_a_fingerprint_can_be_read_out() -> None:
    assert fingerprint("00112233445566778899aabbccddeeff") == "0011 2233 4455 6677 8899 aabb ccdd eeff"
