"""Lists of events in pages, while events come, go and move between one page and the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from receiver.keeping import Keeping
from receiver.ledger import Ledger
from receiver.pages import SCAN_LIMIT, EventPage
from receiver.stored import STATUSES, Filter
from tests.support.scripts import LAYOUT, Claim, Scripts

NUMBER = 230
QUEUE = f"rq:queue:{LAYOUT.queue}"


@pytest.fixture
def kept(redis_client: redis.Redis) -> Scripts:
    """The scripts as workers run them by default: handled events leave their metadata."""
    return Scripts(redis_client, Keeping())


@pytest.fixture
def ledger(redis_client: redis.Redis) -> Ledger:
    return Ledger(redis_client, LAYOUT)


def close(scripts: Scripts, claim: Claim, status: str, later: int = 0) -> None:
    """Make a claimed event one of ``status``."""
    if status == "retrying":
        scripts.close(claim, "retry", due=2_000_000_000 + later + int(claim.job.removeprefix("evt_")))
    elif status in ("failed", "handled"):
        scripts.close(claim, "dead" if status == "failed" else "done", reason="x")


def fill(scripts: Scripts, status: str, number: int = NUMBER) -> tuple[list[str], dict[str, Claim]]:
    """Events of one status: their ids in the order in which they are listed, and the claims of those that run."""
    names = [f"evt_{one:04}" for one in range(number)]
    alone = number * 2 // 3 if status == "waiting" else number
    for start in range(0, number, 10):
        # Of those of one session all but the first wait elsewhere.
        scripts.accept(*names[start : start + 10], lane="s" if start >= alone else "")
    claims: dict[str, Claim] = {}
    while status != "waiting" and (found := scripts.advance(64).claimed):
        claims |= {one.job: one for one in found}
    for one in claims.values():
        close(scripts, one, status)
    return (names[::-1] if status in ("failed", "handled") else names), claims


def paged(ledger: Ledger, status: str, between: Callable[[EventPage], object] = lambda _page: None) -> list[str]:
    """The ids on all pages; ``between`` gets each page before the next one is asked for."""
    seen: list[str] = []
    cursor = None
    for _ in range(100):
        page = ledger.page(Filter(status), limit=20, cursor=cursor)
        seen += [event.id for event in page.events]
        between(page)
        if page.cursor is None:
            return seen
        cursor = page.cursor
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("status", STATUSES)
def test_each_once_and_in_order(ledger: Ledger, kept: Scripts, status: str) -> None:
    names, _ = fill(kept, status)
    assert paged(ledger, status) == names
    assert [event.id for event in ledger.each(Filter(status))] == names


@pytest.mark.parametrize("status", ["failed", "handled"])
def test_new_ones_shift_nothing(ledger: Ledger, kept: Scripts, status: str) -> None:
    names, _ = fill(kept, status)
    more = iter(range(5000, 6000))

    def add(_page: EventPage) -> None:
        for _ in range(3):
            kept.accept(f"evt_{next(more)}")
            close(kept, kept.claim(), status)

    assert paged(ledger, status, add) == names


def test_dead_letters_that_leave_shift_nothing(ledger: Ledger, kept: Scripts) -> None:
    names, _ = fill(kept, "failed")
    gone: set[str] = set()

    def replay_some(page: EventPage) -> None:
        # The last one on the page, on which its cursor stands; one before it; and one that is still to come.
        shown = [event.id for event in page.events]
        if page.cursor is None:
            return
        coming = names.index(shown[-1]) + 5
        chosen = [shown[-1], shown[3], *names[coming : coming + 1]]
        kept.replay(*chosen)
        gone.update(chosen[2:])

    assert paged(ledger, "failed", replay_some) == [one for one in names if one not in gone]


@pytest.mark.parametrize("claimed", [7, 20, 30])
def test_a_line_that_moves_on_skips_nobody(ledger: Ledger, kept: Scripts, claimed: int) -> None:
    names, _ = fill(kept, "waiting", 150)
    kept.client.delete(f"rq:deferred:{LAYOUT.queue}")
    taken: set[str] = set()

    def work(_page: EventPage) -> None:
        taken.update(kept.advance(claimed).jobs)

    seen = paged(ledger, "waiting", work)
    assert len(seen) == len(set(seen))
    assert set(names[:101]) - taken <= set(seen)


def test_what_ends_while_it_is_listed_hides_nobody(ledger: Ledger, kept: Scripts) -> None:
    names, claims = fill(kept, "running")

    def end_the_last(page: EventPage) -> None:
        for event in page.events[-2:]:
            close(kept, claims[event.job_id], "handled")

    assert paged(ledger, "running", end_the_last) == names


def test_what_is_put_off_hides_nobody(ledger: Ledger, kept: Scripts, redis_client: redis.Redis) -> None:
    names, _ = fill(kept, "retrying")
    moved: list[str] = []

    def put_off(page: EventPage) -> None:
        if len(moved) < 5:
            last = page.events[-1].job_id
            redis_client.zadd(f"rq:scheduled:{LAYOUT.queue}", {last: 3_000_000_000 + len(moved)})
            moved.append(last)

    assert paged(ledger, "retrying", put_off) == names + moved


def test_one_that_is_in_line_twice_does_not_go_round(ledger: Ledger, kept: Scripts, redis_client: redis.Redis) -> None:
    names, _ = fill(kept, "waiting", 40)
    for _ in range(3):
        redis_client.linsert(QUEUE, "AFTER", names[19], names[0])
    assert set(paged(ledger, "waiting")) == set(names)


def test_a_filter_that_matches_nothing_ends_its_work(ledger: Ledger, kept: Scripts) -> None:
    fill(kept, "failed", SCAN_LIMIT + 100)
    first = ledger.page(Filter("failed", agent="nobody"))
    assert (first.events, first.cursor is None) == ((), False)
    assert ledger.page(Filter("failed", agent="nobody"), cursor=first.cursor).cursor is None
    assert len(ledger.page(Filter("failed"), limit=10 * SCAN_LIMIT).events) == SCAN_LIMIT


def test_what_others_wrote_is_paged_too(ledger: Ledger, redis_client: redis.Redis) -> None:
    members: Any = [b"\xff\xfe %~", b"~", b"a:b:c", "ü".encode()] * 10
    redis_client.rpush(QUEUE, *members)
    redis_client.zadd(f"rq:failed:{LAYOUT.queue}", {one: score for one in set(members) for score in (1e300,)})
    for status in ("waiting", "failed"):
        assert paged(ledger, status) == []
        cursor = None
        while (page := ledger._pages.page(Filter(status), 1, cursor)).cursor is not None:
            assert not page.events
            cursor = page.cursor


cursors = st.text(max_size=30) | st.from_regex(r"\A\d{1,3}~-?[0-9einf.+-]{1,8}~.{1,20}\Z")


@given(cursors)
def test_any_cursor_gives_a_page_or_one_error(redis_server: Any, cursor: str) -> None:
    with redis_server.client() as client:
        try:
            assert not Ledger(client, LAYOUT).page(Filter("retrying"), cursor=cursor).events
        except ValueError as error:
            assert "cursor" in str(error)  # noqa: PT017  # most cursors are none, and some are
