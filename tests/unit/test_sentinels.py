"""Addresses of a Redis behind Sentinels: what is read, and that what is wrong is refused without being quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.sentinels import SentinelAddress

HOSTS = (("one", 26379), ("two", 26380))


def test_the_whole_form() -> None:
    url = "redis+sentinel://us%40er:p%3Ass@one:26379,two:26380/mymaster/3?sentinel_username=s&sentinel_password=t%2F"
    assert SentinelAddress.from_url(url) == SentinelAddress(
        HOSTS,
        "mymaster",
        3,
        tls=False,
        login={"username": "us@er", "password": "p:ss"},
        sentinel_login={"username": "s", "password": "t/"},
    )


def test_the_shortest_form() -> None:
    assert SentinelAddress.from_url("redis+sentinel://one/m") == SentinelAddress(
        (("one", 26379),), "m", 0, tls=False, login={}, sentinel_login={}
    )


def test_variants() -> None:
    read = SentinelAddress.from_url
    assert (address := read("rediss+sentinel://:p@one,[::1]:5/m/")) is not None
    assert (address.tls, address.login, address.hosts) == (True, {"password": "p"}, (("one", 26379), ("::1", 5)))
    assert read("redis://one:6379/0") is None


def test_its_repr_shows_no_secret() -> None:
    address = SentinelAddress.from_url("redis+sentinel://:canary@one/m?sentinel_password=canary")
    assert "canary" not in repr(address)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "canary",
        "canary/",
        "/canary",
        ":canary@/m",
        "one,/m/canary",
        "one/m/canary",
        "one:canary/m",
        "one:99999/m?canary",
        "one/m?canary=1",
        "[canary/m",
        "one/m/٣",
    ],
)
def test_what_is_wrong_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|takes) ") as caught:
        SentinelAddress.from_url(f"redis+sentinel://{rest}")
    assert "canary" not in str(caught.value)


def problem(rest: str) -> str:
    """What is wrong with an address; empty if nothing is."""
    try:
        SentinelAddress.from_url(f"redis+sentinel://{rest}")
    except ValueError as error:
        return str(error)
    return ""


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_one_kind_of_error(rest: str) -> None:
    assert problem(rest).partition(" ")[0] in ("", "must", "takes")
