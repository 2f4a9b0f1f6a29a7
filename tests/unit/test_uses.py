"""Counting which of several tokens and keys is used, and what `doctor` makes of it."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
import redis

from receiver.counted import Use
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.uses import Uses, name_of_secret, names_of_secrets, tell
from workers.doctor_rotation import QUIET_SECONDS, _Kind, _old


def test_names_tell_secrets_apart_and_hold_little_of_them() -> None:
    names = {name_of_secret("token", f"token-{number}".encode()) for number in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch("token:[0-9a-f]{4}", name) for name in names)
    assert name_of_secret("secret", b"token-1") != name_of_secret("token", b"token-1").replace("token", "secret")
    assert names_of_secrets("token", [b"a", b"b"]) == (name_of_secret("token", b"a"), name_of_secret("token", b"b"))


def test_only_where_there_are_several_is_counted() -> None:
    uses = Uses(["token:1"], ["secret:1", "secret:2"], ["key:1", "key:1"])
    assert [uses.note(name) for name in ("token:1", "secret:2", "key:1", "unknown")] == [False, True, False, False]
    assert uses.take() == {"secret:1": 0, "secret:2": 1}
    assert uses.take() == {}
    assert Uses(["token:1"]).take() == {}


def test_what_could_not_be_told_is_told_later() -> None:
    uses = Uses(["a", "b"])
    uses.note("a")
    taken = uses.take()
    uses.note("a")
    uses.put_back(taken)
    assert uses.take() == {"a": 2, "b": 0}


def test_no_use_is_lost_between_threads() -> None:
    uses = Uses(["a", "b"])
    total = 0

    def note() -> None:
        for _ in range(5000):
            uses.note("a")

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        total += uses.take().get("a", 0)
    assert total + uses.take().get("a", 0) == 20_000


def test_what_is_told_can_be_read(redis_client: redis.Redis) -> None:
    ledger = Ledger(redis_client, Layout())
    for counts in ({"token:1": 0, "token:2": 2}, {"token:1": 0, "token:2": 3}):
        pipe: Any = redis_client.pipeline()
        tell(pipe, Layout(), counts)
        pipe.execute()
    uses = ledger.uses()
    assert (uses["token:1"].times, uses["token:1"].last) == (0, None)
    assert uses["token:2"].times == 5
    assert abs((uses["token:2"].last or 0) - time.time()) < 10
    assert redis_client.pttl(Layout().own("used")) > 0


NOW = 1_800_000_000.0
LONG_AGO = NOW - QUIET_SECONDS - 3600
DOCTOR: dict[str, tuple[Use | None, str, str]] = {
    "unknown": (None, "ok", "nothing is known"),
    "just counted": (Use(0, NOW - 60, None), "ok", "not used for 1m"),
    "never, for long": (Use(0, LONG_AGO, None), "warning", "not used for 7d"),
    "lately": (Use(5, LONG_AGO, NOW - 60), "ok", "last used 1m ago, 5 times"),
    "long ago": (Use(5, LONG_AGO - 1, LONG_AGO), "warning", "last used 7d ago"),
}


@pytest.mark.parametrize(("use", "level", "words"), DOCTOR.values(), ids=DOCTOR.keys())
def test_when_an_old_one_can_go(use: Use | None, level: str, words: str) -> None:
    kind = _Kind("token", "HILOOP_WEBHOOK_TOKEN", ("token:1", "token:2"))
    finding = _old(kind, "token:2", {"token:2": use} if use else {}, NOW)
    assert (finding.level, words in finding.what) == (level, True), finding
    assert ("take it out of HILOOP_WEBHOOK_TOKEN" in finding.mend) == (level == "warning")
