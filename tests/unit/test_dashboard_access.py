"""Who may open the dashboard: tokens, cookies that nobody else can make, and where tries to log in come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from receiver.dashboard.access import SESSION_SECONDS, Access
from receiver.dashboard.safety import is_same_origin, local_path
from receiver.dashboard.throttle import place_of

NOW = 1_800_000_000.0
ACCESS = Access([b"full-token-1", b"full-token-2"], [b"read-token"])


FULL = "full-token-1"


def cookie(token: str = FULL, name: str = "Ada", access: Access = ACCESS, nonce: bytes = b"n") -> str:
    found = access.open(token, name, nonce=nonce, now=NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(("token", "may_order"), [(FULL, True), ("full-token-2", True), ("read-token", False)])
def test_a_token_opens_a_session_that_ends(token: str, may_order: bool) -> None:
    session = ACCESS.session(cookie(token), NOW)
    assert session is not None
    assert (session.name, session.may_order) == ("Ada", may_order)
    assert ACCESS.session(cookie(token), NOW + SESSION_SECONDS - 1) is not None
    assert ACCESS.session(cookie(token), NOW + SESSION_SECONDS) is None
    assert token not in cookie(token)


@pytest.mark.parametrize("token", ["", "full-token", "full-token-12", "FULL-TOKEN-1", "ü" * 9, "\ud800"])
def test_no_other_token_does(token: str) -> None:
    assert ACCESS.open(token, "Ada", nonce=b"n", now=NOW) is None


def test_a_changed_token_ends_its_sessions_and_no_others() -> None:
    rotated = Access([b"full-token-3"], [b"read-token"])
    assert rotated.session(cookie("full-token-1"), NOW) is None
    assert rotated.session(cookie("read-token"), NOW) is not None


def test_a_read_token_that_becomes_a_full_one_gives_old_sessions_no_more_rights() -> None:
    assert Access([b"read-token"], []).session(cookie("read-token"), NOW) is None


def test_no_cookie_can_be_changed() -> None:
    genuine = cookie()
    for place in range(len(genuine)):
        for char in ("A", "B", ".", "="):
            changed = genuine[:place] + char + genuine[place + 1 :]
            session = ACCESS.session(changed, NOW)
            # The last character of base64 may hold bits that count for nothing.
            assert session is None or (session.name, session.may_order) == ("Ada", True)
            if place < len(genuine) - 1 and changed != genuine and genuine[place + 1] != ".":
                assert session is None


@given(st.text(max_size=200))
def test_any_cookie_can_be_read(text: str) -> None:
    assert ACCESS.session(text, NOW) is None


def test_each_session_has_a_proof_of_its_own() -> None:
    one, other = (ACCESS.session(cookie(nonce=nonce), NOW) for nonce in (b"1", b"2"))
    assert one is not None
    assert other is not None
    assert one.owns(one.csrf)
    assert not one.owns(other.csrf)
    assert not one.owns("")
    assert not one.owns("ü")


@pytest.mark.parametrize(
    ("name", "shown"), [("", "somebody"), ("  Ada\r\nforged=line\x1b[31m ", "Adaforged=line[31m"), ("x" * 99, "x" * 40)]
)
def test_names_are_clean(name: str, shown: str) -> None:
    session = ACCESS.session(cookie(name=name), NOW)
    assert session is not None
    assert session.name == shown


SOURCES = {
    "no proxy": ("93.184.216.34", "", "93.184.216.34"),
    "a forged header from outside": ("93.184.216.34", "198.51.100.1", "93.184.216.34"),
    "a router's": ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
    "a router's after forged ones": ("10.1.2.3", "1.1.1.1, 2.2.2.2, 198.51.100.1", "198.51.100.1"),
    "a proxy on this machine": ("127.0.0.1", "2001:db8::1", "2001:db8::/64"),
    "shared address space": ("100.64.1.1", "198.51.100.1", "198.51.100.1"),
    "no address": ("10.1.2.3", "somebody", "10.1.2.3"),
    "a socket": ("", "198.51.100.1", ""),
}
KNOWN_ROUTERS = [(0, "10.1.2.3"), (1, "198.51.100.2"), (2, "198.51.100.1"), (3, "10.1.2.3")]


@pytest.mark.parametrize(("peer", "forwarded", "source"), SOURCES.values(), ids=SOURCES.keys())
def test_where_somebody_logs_in_from(peer: str, forwarded: str, source: str) -> None:
    assert place_of(peer, forwarded, None) == source


@pytest.mark.parametrize(("proxies", "source"), KNOWN_ROUTERS)
def test_where_the_settings_know_of_routers(proxies: int, source: str) -> None:
    assert place_of("10.1.2.3", "198.51.100.1, 198.51.100.2", proxies) == source


ORIGINS = {
    "a browser says so": ({"sec-fetch-site": "same-origin"}, True),
    "from elsewhere": ({"sec-fetch-site": "cross-site", "origin": "http://here", "host": "here"}, False),
    "a neighbour's subdomain": ({"sec-fetch-site": "same-site"}, False),
    "typed in": ({"sec-fetch-site": "none"}, False),
    "plain http": ({"origin": "http://here:8000", "host": "here:8000"}, True),
    "plain http, from elsewhere": ({"origin": "http://there:8000", "host": "here:8000"}, False),
    "another port": ({"origin": "http://here:8001", "host": "here:8000"}, False),
    "hidden": ({"origin": "null", "host": "here"}, False),
    "nothing": ({}, False),
}


@pytest.mark.parametrize(("headers", "same"), ORIGINS.values(), ids=ORIGINS.keys())
def test_whether_a_form_is_of_our_page(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers(headers)) is same


PATHS = ["/dashboard/events?status=failed&type=a.%2A", "/dashboard/", "/dashboard/event?id=evt_1:2"]
FOREIGN = [
    "", "//evil.example", "https://evil.example", "/dashboard//evil.example", "/dashboard/../x", "/\\evil.example",
    "/dashboard/\r\nSet-Cookie: a=b", "/dashboard/<script>", "javascript:alert(1)", "/dashboard",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_one_goes_on_where_one_wanted(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize("path", FOREIGN)
def test_nobody_is_sent_elsewhere(path: str) -> None:
    assert local_path(path) == "/dashboard/"
