"""Keys: published vectors of X25519 and HKDF, the vector file, and keys that must be refused."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult

from receiver.errors import BadEnvelope
from receiver.keyring import KeyPair, Keyring, hkdf_sha256, key_id, shared_secret

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "profile-v1.json").read_text("utf-8"))
keys_32 = st.binary(min_size=32, max_size=32)

# RFC 5869, appendix A.1 to A.3: ikm, salt, info, length, okm.
RFC_5869 = {
    "A.1": (
        "0b" * 22,
        bytes(range(0x0D)).hex(),
        bytes(range(0xF0, 0xFA)).hex(),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "A.3": (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize(("ikm", "salt", "info", "okm"), RFC_5869.values(), ids=RFC_5869.keys())
def test_rfc_5869(ikm: str, salt: str, info: str, okm: str) -> None:
    made = hkdf_sha256(
        bytes.fromhex(ikm), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=len(bytes.fromhex(okm))
    )
    assert made.hex() == okm


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=64), st.integers(0, 300))
def test_hkdf_gives_as_much_as_asked_for_and_shorter_output_is_a_beginning(
    ikm: bytes, salt: bytes, info: bytes, length: int
) -> None:
    made = hkdf_sha256(ikm, salt=salt, info=info, length=length)
    assert len(made) == length
    assert hkdf_sha256(ikm, salt=salt, info=info, length=300).startswith(made)


def test_hkdf_refuses_more_than_it_can_give() -> None:
    assert len(hkdf_sha256(b"ikm", salt=b"", info=b"", length=255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="range"):
        hkdf_sha256(b"ikm", salt=b"", info=b"", length=255 * 32 + 1)


# RFC 7748, sections 5.2 and 6.1: scalar, u-coordinate, result.
RFC_7748 = {
    "5.2 first": (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    "5.2 second": (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
    "6.1 Alice": (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
    "6.1 Bob": (
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
}


@pytest.mark.parametrize(("scalar", "u", "result"), RFC_7748.values(), ids=RFC_7748.keys())
def test_rfc_7748(scalar: str, u: str, result: str) -> None:
    assert shared_secret(bytes.fromhex(scalar), bytes.fromhex(u)).hex() == result


@pytest.mark.parametrize(
    ("private", "public"),
    [
        (RFC_7748["6.1 Alice"][0], RFC_7748["6.1 Bob"][1]),
        (RFC_7748["6.1 Bob"][0], RFC_7748["6.1 Alice"][1]),
    ],
    ids=["Alice", "Bob"],
)
def test_rfc_7748_public_keys(private: str, public: str) -> None:
    assert KeyPair.from_private(bytes.fromhex(private)).public_key.hex() == public


def test_rfc_7748_iterated_a_thousand_times() -> None:
    k = u = bytes([9]) + bytes(31)
    for count in range(1000):
        k, u = shared_secret(k, u), k
        if count == 0:
            assert k.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


# Points of low order, and their spellings that are not canonical (https://cr.yp.to/ecdh.html#validate).
LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


@pytest.mark.parametrize("public", LOW_ORDER)
def test_public_keys_of_low_order_are_refused(public: str) -> None:
    pair = KeyPair.from_private(bytes(range(32)))
    with pytest.raises(BadEnvelope, match="low order"):
        shared_secret(pair.private_key, bytes.fromhex(public))
    keyring = Keyring([pair])
    for _ in range(2):  # what is remembered must not be an error that turns into a secret
        with pytest.raises(BadEnvelope, match="low order"):
            keyring.shared_secret(pair.key_id, bytes.fromhex(public))


@pytest.mark.parametrize("case", VECTORS["agent_keys"], ids=lambda case: case["key_id"])
def test_vector_file_agent_keys(case: dict[str, str]) -> None:
    derived = KeyPair.from_api_key(case["api_key"])
    explicit = KeyPair.from_base64(case["private_key"])
    assert derived == explicit
    assert base64.b64encode(derived.public_key).decode() == case["public_key"]
    assert derived.key_id == case["key_id"]


@pytest.mark.parametrize("case", VECTORS["sender_keys"], ids=lambda case: case["key_id"])
def test_vector_file_sender_keys(case: dict[str, str]) -> None:
    assert key_id(base64.b64decode(case["public_key"])) == case["key_id"]


BAD_API_KEYS = {
    "empty": "",
    "prefix only": "hlp_",
    "no prefix": "a" * 64,
    "short": "hlp_" + "a" * 63,
    "long": "hlp_" + "a" * 65,
    "upper case": "hlp_" + "A" * 64,
    "no hex": "hlp_" + "g" * 64,
    "newline": "hlp_" + "a" * 64 + "\n",
    "blank": " hlp_" + "a" * 64,
    "digits of another script": "hlp_" + "٣" * 64,
    "provisioning": "hlp_prov_" + "a" * 64,
}


@pytest.mark.parametrize("text", BAD_API_KEYS.values(), ids=BAD_API_KEYS.keys())
def test_api_keys_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits") as caught:
        KeyPair.from_api_key(text)
    assert "a" * 60 not in str(caught.value)


BAD_PRIVATE_KEYS = {
    "empty": "",
    "31 bytes": base64.b64encode(bytes(31)).decode(),
    "33 bytes": base64.b64encode(bytes(33)).decode(),
    "no padding": base64.b64encode(bytes(32)).decode().rstrip("="),
    "blank inside": "AAAA AAAA",
    "not ASCII": "ä" * 44,
    "hex": "00" * 32,
}


@pytest.mark.parametrize("text", BAD_PRIVATE_KEYS.values(), ids=BAD_PRIVATE_KEYS.keys())
def test_private_keys_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes in standard base64"):
        KeyPair.from_base64(text)


def test_the_error_of_a_bad_private_key_does_not_carry_it() -> None:
    with pytest.raises(ValueError, match="standard base64") as caught:
        KeyPair.from_base64("c2VjcmV0LWNhbmFyeQ==")
    assert "c2Vj" not in str(caught.value)


@given(keys_32)
def test_pairs_show_no_private_key(private: bytes) -> None:
    pair = KeyPair.from_private(private)
    shown = repr(pair) + repr(Keyring([pair]))
    assert pair.key_id in shown
    assert repr(private) not in shown
    assert private.hex() not in shown
    assert len(shown) < 250


@given(keys_32, keys_32)
def test_both_sides_share_a_secret(one: bytes, other: bytes) -> None:
    left, right = KeyPair.from_private(one), KeyPair.from_private(other)
    secret = shared_secret(one, right.public_key)
    assert secret == shared_secret(other, left.public_key) == crypto_scalarmult(one, right.public_key)
    for _ in range(2):  # once computed, once remembered
        assert Keyring([left]).shared_secret(left.key_id, right.public_key) == secret


def test_a_keyring_remembers_nothing_wrong() -> None:
    pairs = [KeyPair.from_private(bytes([number] * 32)) for number in range(1, 6)]
    keyring = Keyring(pairs[:2])
    for _ in range(2):
        for mine in pairs[:2]:
            for theirs in pairs[2:]:
                assert keyring.shared_secret(mine.key_id, theirs.public_key) == shared_secret(
                    mine.private_key, theirs.public_key
                )


def test_keyring_is_a_collection_with_the_current_pair_first() -> None:
    first, second = KeyPair.from_private(b"1" * 32), KeyPair.from_private(b"2" * 32)
    keyring = Keyring([first, second, first])
    assert (list(keyring), len(keyring), keyring.current) == ([first, second], 2, first)
    assert first.key_id in keyring
    assert "00" * 16 not in keyring
    assert 7 not in keyring
    with pytest.raises(LookupError):
        _ = Keyring([]).current


def test_a_key_may_be_one_agents_alone() -> None:
    text = base64.b64encode(bytes(range(32))).decode()
    anybodys, bots = KeyPair.from_base64(text), KeyPair.from_base64(f"{text} =  deploy bot")
    assert (anybodys.agent, bots.agent) == ("", "deploy bot")
    assert anybodys.key_id == bots.key_id


@pytest.mark.parametrize("rest", ["=", " = ", " bot", "x", " =\n"])
def test_what_follows_a_key_is_an_agents_name_or_an_error(rest: str) -> None:
    with pytest.raises(ValueError, match="agent key"):
        KeyPair.from_base64(base64.b64encode(bytes(32)).decode() + rest)


def test_an_agent_uses_its_own_keys_first_and_never_another_ones() -> None:
    shared, first, second = (KeyPair.from_private(bytes([number]) * 32) for number in (1, 2, 3))
    keyring = Keyring([shared, replace(first, agent="first"), replace(second, agent="second")])
    assert [pair.key_id for pair in keyring.of_agent("first")] == [first.key_id, shared.key_id]
    assert [pair.key_id for pair in keyring.of_agent("second")] == [second.key_id, shared.key_id]
    assert [pair.key_id for pair in keyring.of_agent("third")] == [shared.key_id]
    plain = Keyring([shared])
    assert plain.of_agent("first") is plain
