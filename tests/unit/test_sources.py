"""Senders whose requests were refused: who they are, when they are turned away, and that their number is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.sources import Sources, source_of

ADDRESSES: dict[str, tuple[str, str, int, str]] = {
    "reached directly": ("192.0.2.1", "198.51.100.7", 0, "192.0.2.1"),
    "one router": ("10.0.0.1", "198.51.100.7", 1, "198.51.100.7"),
    "one router, and what the sender wrote": ("10.0.0.1", "1.2.3.4, 198.51.100.7", 1, "198.51.100.7"),
    "two routers": ("10.0.0.1", "1.2.3.4,198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
    "fewer entries than routers": ("10.0.0.1", "198.51.100.7", 2, "10.0.0.1"),
    "no entry": ("10.0.0.1", "", 1, "10.0.0.1"),
    "no address": ("10.0.0.1", "unknown", 1, "10.0.0.1"),
    "with a port": ("10.0.0.1", "198.51.100.7:4711", 1, "198.51.100.7"),
    "IPv6": ("10.0.0.1", "2001:db8:1:2:3:4:5:6", 1, "2001:db8:1:2::/64"),
    "IPv6 with a port": ("10.0.0.1", "[2001:db8:1:2::9]:443", 1, "2001:db8:1:2::/64"),
    "IPv4 in IPv6": ("::ffff:192.0.2.1", "", 0, "192.0.2.1"),
    "a Unix socket": ("", "", 0, ""),
}


@pytest.mark.parametrize(("peer", "forwarded", "proxies", "source"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_source(peer: str, forwarded: str, proxies: int, source: str) -> None:
    assert source_of(peer, forwarded, proxies) == source


@given(st.text(), st.text(), st.integers(0, 16))
def test_any_header_gives_a_source(peer: str, forwarded: str, proxies: int) -> None:
    assert isinstance(source_of(peer, forwarded, proxies), str)


def test_a_sender_is_turned_away_until_its_bucket_has_drained() -> None:
    sources = Sources(60)
    for _ in range(60):
        assert sources.seconds_to_wait("a", 0.0) == 0
        sources.refused("a", 0.0)
    assert sources.seconds_to_wait("a", 0.0) == pytest.approx(1.0)
    assert sources.seconds_to_wait("a", 0.5) == pytest.approx(0.5)
    assert sources.seconds_to_wait("a", 1.0) == 0
    assert sources.seconds_to_wait("b", 0.0) == 0


def test_one_refusal_a_second_is_never_too_many() -> None:
    sources = Sources(60)
    for second in range(1000):
        assert sources.seconds_to_wait("a", second) == 0
        sources.refused("a", second)


def test_however_many_are_refused_the_wait_stays_short() -> None:
    sources = Sources(60)
    for _ in range(10_000):
        sources.refused("a", 0.0)
    assert sources.seconds_to_wait("a", 0.0) == pytest.approx(1.0)


def test_memory_is_bounded_and_the_latest_stay() -> None:
    sources = Sources(1, max_sources=100)
    for number in range(1000):
        sources.refused(str(number), number / 1e6)
    assert len(sources) == 100
    assert sources.seconds_to_wait("999", 0.001) > 0
    assert sources.seconds_to_wait("0", 0.001) == 0


def test_a_bucket_that_has_drained_is_forgotten() -> None:
    sources = Sources(60)
    sources.refused("a", 0.0)
    assert sources.seconds_to_wait("a", 2.0) == 0
    assert len(sources) == 0
