"""Signatures and bearer tokens: published vectors, the vector file, and every small change to a genuine request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from receiver.signature import sign, verify_bearer, verify_signature

# RFC 4231, section 4, test cases 1 to 4, 6 and 7 (5 is about truncated output): key, data, HMAC-SHA-256.
RFC_4231 = {
    "1": ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    "2": (
        b"Jefe".hex(),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    "3": ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    "4": (
        "0102030405060708090a0b0c0d0e0f10111213141516171819",
        "cd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    "6": (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    "7": (
        "aa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ).hex(),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
}
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "profile-v1.json").read_text("utf-8"))[
    "webhook"
]
SECRET = VECTORS["secret"].encode()
BODY = VECTORS["body"].encode()


@pytest.mark.parametrize(("key", "data", "mac"), RFC_4231.values(), ids=RFC_4231.keys())
def test_rfc_4231(key: str, data: str, mac: str) -> None:
    assert sign(bytes.fromhex(key), bytes.fromhex(data)) == f"sha256={mac}"
    assert verify_signature([bytes.fromhex(key)], bytes.fromhex(data), b"sha256=" + mac.encode()) == 0


@pytest.mark.parametrize("case", VECTORS["signatures"], ids=lambda case: case["name"])
def test_vector_file(case: dict[str, Any]) -> None:
    # Headers arrive as bytes; latin-1 is how any string gets to them.
    found = verify_signature([SECRET], BODY, case["header"].encode("latin-1"))
    assert (found == 0) is case["valid"]


def test_vector_file_has_both_kinds() -> None:
    assert {case["valid"] for case in VECTORS["signatures"]} == {True, False}


def test_signing_makes_the_genuine_vector() -> None:
    assert [case["header"] for case in VECTORS["signatures"] if case["valid"]] == [sign(SECRET, BODY)]


@pytest.mark.parametrize("header", [b"", b"sha256=", b"sha256=" + b"0" * 64, b"\xff\xfe", b"sha256=" + b"\xe9" * 64])
def test_headers_that_sign_nothing(header: bytes) -> None:
    assert verify_signature([SECRET], BODY, header) is None


def test_no_secrets_verify_nothing() -> None:
    assert verify_signature([], BODY, sign(SECRET, BODY).encode()) is None
    assert verify_bearer([], b"Bearer token") is None


@pytest.mark.parametrize("index", range(3))
def test_each_of_several_secrets_is_accepted(index: int) -> None:
    secrets = [b"first-secret", b"second-secret", b"third-secret"]
    assert verify_signature(secrets, BODY, sign(secrets[index], BODY).encode()) == index
    assert verify_bearer(secrets, b"Bearer " + secrets[index]) == index


secrets_ = st.binary(min_size=1, max_size=80)


@given(secrets_, st.binary(max_size=300))
def test_what_is_signed_verifies(secret: bytes, body: bytes) -> None:
    assert verify_signature([b"another secret", secret], body, sign(secret, body).encode()) in (0, 1)


@given(secrets_, st.binary(min_size=1, max_size=100), st.data())
def test_a_changed_body_does_not_verify(secret: bytes, body: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    assert verify_signature([secret], bytes(changed), sign(secret, body).encode()) is None


@given(secrets_, st.binary(max_size=100), st.data())
def test_a_changed_header_does_not_verify(secret: bytes, body: bytes, data: st.DataObject) -> None:
    header = bytearray(sign(secret, body).encode())
    header[data.draw(st.integers(0, len(header) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert verify_signature([secret], body, bytes(header)) is None


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_header_gives_an_answer(header: bytes, body: bytes) -> None:
    assert verify_signature([SECRET], body, header) is None
    verify_bearer([SECRET], header)


TOKEN = b"token-1"
BEARERS = {
    "as documented": (b"Bearer token-1", True),
    "lower case": (b"bearer token-1", True),
    "upper case": (b"BEARER token-1", True),
    "missing": (b"", False),
    "no scheme": (b"token-1", False),
    "another scheme": (b"Basic token-1", False),
    "no token": (b"Bearer", False),
    "empty token": (b"Bearer ", False),
    "two blanks": (b"Bearer  token-1", False),
    "tab": (b"Bearer\ttoken-1", False),
    "blank at the end": (b"Bearer token-1 ", False),
    "a letter more": (b"Bearer token-11", False),
    "a letter less": (b"Bearer token-", False),
    "token in another case": (b"Bearer TOKEN-1", False),
    "not ASCII": (b"Bearer tok\xc3\xa9n", False),
    "two of them": (b"Bearer token-1, Bearer token-1", False),
}


@pytest.mark.parametrize(("header", "valid"), BEARERS.values(), ids=BEARERS.keys())
def test_bearer(header: bytes, valid: bool) -> None:
    assert verify_bearer([TOKEN], header) == (0 if valid else None)


def test_an_empty_token_is_never_accepted() -> None:
    assert verify_bearer([b""], b"Bearer ") is None


@given(st.binary(min_size=1, max_size=50), st.binary(min_size=1, max_size=50))
def test_only_the_exact_token_is_accepted(token: bytes, given_token: bytes) -> None:
    assume(token != given_token)
    assert verify_bearer([token], b"Bearer " + given_token) is None
    assert verify_bearer([token], b"Bearer " + token) == 0
