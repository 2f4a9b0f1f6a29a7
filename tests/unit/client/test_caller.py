"""What a client is made of, and what it refuses to be made of."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from receiver.client import (
    AsyncHiloopClient,
    AuthenticationFailed,
    HiloopClient,
    Retries,
    ValidationFailed,
)
from receiver.client.caller import Caller
from receiver.keyring import KeyPair

API_KEY = "hlp_" + "a1" * 32
AGENT_KEY = base64.b64encode(bytes(range(32))).decode()


def configure(environ: dict[str, str] | None = None, **given: Any) -> Caller:
    settings: dict[str, Any] = {
        "api_key": API_KEY,
        "agent_name": "bot",
        "base_url": None,
        "agent_keys": None,
        "timeout": 30.0,
        "retries": Retries(),
    }
    return Caller.configure(**{**settings, **given}, environ=environ or {})


@pytest.mark.parametrize(
    ("api_key", "reason"),
    [
        ("", "there is no API key"),
        ("hlp_prov_" + "a1" * 32, "this is a provisioning key"),
        ("hlp_xxx", "malformed"),
        ("hlp_" + "A1" * 32, "malformed"),
        ("hlp_" + "a1" * 31, "malformed"),
        ("hlp_" + "a1" * 32 + "\n", "malformed"),
        (" hlp_" + "a1" * 32, "malformed"),
        ("a1" * 32, "malformed"),
    ],
)
@pytest.mark.parametrize("kind", [HiloopClient, AsyncHiloopClient])
def test_api_keys_that_cannot_be_right_are_refused(kind: Any, api_key: str, reason: str) -> None:
    with pytest.raises(AuthenticationFailed, match=reason) as caught:
        kind(api_key, "bot")
    assert caught.value.hint
    assert len(api_key) < 10 or api_key.strip() not in str(caught.value)


@pytest.mark.parametrize("agent_name", ["", " bot", "bot ", "b\not", "böt", "x" * 129])
def test_agent_names_that_no_header_can_carry_are_refused(agent_name: str) -> None:
    with pytest.raises(ValidationFailed, match="agent_name"):
        configure(agent_name=agent_name)


@pytest.mark.parametrize(
    ("base_url", "kept"),
    [
        ("https://api.hi-loop.com", "https://api.hi-loop.com"),
        ("https://api.hi-loop.com/", "https://api.hi-loop.com"),
        ("https://api.hi-loop.com/v1", "https://api.hi-loop.com"),
        ("https://api.hi-loop.com/v1/", "https://api.hi-loop.com"),
        ("https://example.com:8443/hiloop", "https://example.com:8443/hiloop"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://127.1.2.3:8787", "http://127.1.2.3:8787"),
        ("http://[::1]:8787", "http://[::1]:8787"),
    ],
)
def test_base_urls(base_url: str, kept: str) -> None:
    assert configure(base_url=base_url).base_url == kept


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.hi-loop.com",
        "ftp://api.hi-loop.com",
        "https://",
        "https://user:pass@api.hi-loop.com",
        "https://api.hi-loop.com?x=1",
        "https://api.hi-loop.com#x",
        "https://api.hi-loop.com:port",
        "https://[::1",
        "https://api.hi-loop.com/\n",
        "http://api.hi-loop.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
    ],
)
def test_base_urls_that_would_leak_or_lead_nowhere_are_refused(base_url: str) -> None:
    with pytest.raises(ValidationFailed, match="base_url"):
        configure(base_url=base_url)


def test_environment_fills_in_what_is_not_given() -> None:
    environ = {
        "HILOOP_API_KEY": API_KEY,
        "HILOOP_BASE_URL": "https://hiloop.example.com",
        "HILOOP_AGENT_KEYS": f"{AGENT_KEY},\n{base64.b64encode(b'x' * 32).decode()}",
    }
    caller = configure(environ, api_key=None)
    assert (caller.api_key, caller.base_url) == (API_KEY, "https://hiloop.example.com")
    assert [pair.key_id for pair in caller.keyring] == [
        KeyPair.from_base64(AGENT_KEY).key_id,
        KeyPair.from_private(b"x" * 32).key_id,
        KeyPair.from_api_key(API_KEY).key_id,
    ]
    given = configure(environ, base_url="https://other.example.com", agent_keys=())
    assert (given.base_url, len(given.keyring)) == ("https://other.example.com", 1)
    assert configure().base_url == "https://api.hi-loop.com"


def test_agent_keys_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationFailed, match="agent_keys") as caught:
        configure(agent_keys=["SECRET"])
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeouts_that_are_none_are_refused(timeout: float) -> None:
    with pytest.raises(ValidationFailed, match="timeout"):
        configure(timeout=timeout)


def test_reprs_hold_no_secret() -> None:
    caller = configure(agent_keys=[AGENT_KEY])
    with HiloopClient(API_KEY, "bot", base_url="https://hiloop.example.com", agent_keys=[AGENT_KEY]) as client:
        shown = repr([caller, client, vars(client)])
        assert repr(client) == "<HiloopClient bot at https://hiloop.example.com>"
    assert API_KEY not in shown
    assert AGENT_KEY not in shown
