"""What searches for leaks must find them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leaks import leaks

SECRET = b"a-secret-of-some-length"


@given(st.binary(max_size=10), st.binary(max_size=10), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_base64_at_any_place(before: bytes, after: bytes, encode: object) -> None:
    text = encode(before + SECRET + after)  # type: ignore[operator]  # one of two functions
    assert leaks({"here": text}, {"secret": SECRET})


@pytest.mark.parametrize(
    "text", [SECRET, b"x" + SECRET + b"y", SECRET.hex().encode(), SECRET.hex().upper().encode(), repr(SECRET).encode()]
)
def test_other_forms(text: bytes) -> None:
    assert leaks({"here": text}, {"secret": SECRET})


def test_key_bytes_as_python_shows_them() -> None:
    assert leaks({"here": repr({"key": bytes(range(32))}).encode()}, {"key": bytes(range(32))})


@given(st.binary(max_size=100))
def test_nothing_else_is_found(text: bytes) -> None:
    assert bool(leaks({"here": text}, {"secret": SECRET})) == (SECRET in text)
