"""What is worth an alert, how often, and when it is well again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.alerting import Alerting
from receiver.ledger import Status, WorkerState
from receiver.stored import HandlerState, StoredEvent
from workers.alerts import Alert
from workers.health import DEAD, STALLED, URGENT_DEAD, WAITING, Health, Told, due_alerts

NOW = 1_800_000_000.0
LIMITS = Alerting(waiting=300.0, stalled=300.0, every=1800.0)
NOTHING_TOLD = Told({}, {}, {})
WORKER = WorkerState("w", "host", 7, "busy", 2, 100, 0, NOW)
STATUS = Status(
    depth={"hiloop": 0},
    waiting=0,
    deferred=0,
    in_flight=2,
    retrying=1,
    dead=0,
    dead_bytes=0,
    kept=0,
    oldest_waiting=None,
    accept_rate=0.0,
    handle_rate=0.0,
    latency_ms={},
    counters={"handled": 7},
    workers=(WORKER,),
    suspended=False,
    memory=0,
    memory_limit=0,
)


def died(event: str, reason: str = "handler_error", handler: str = "handlers.deploy") -> StoredEvent:
    """A dead letter."""
    state = HandlerState(handler, 6, "dead", None, 1.0, reason)
    values: dict[str, Any] = dict.fromkeys(StoredEvent.__dataclass_fields__, "")
    return StoredEvent(**{**values, "id": event, "status": "failed", "reason": reason, "handlers": (state,)})


def with_dead(*events: StoredEvent, totals: dict[str, int] | None = None) -> Health:
    """Dead letters, given in the order in which they died; ``totals`` by reason, where more were counted."""
    counted: dict[str, int] = {}
    for event in events:
        counted[event.reason] = counted.get(event.reason, 0) + 1
    counters = {f"dead:{reason}": number for reason, number in (totals or counted).items()}
    return Health("hiloop", replace(STATUS, dead=len(events), counters=counters), tuple(reversed(events)), 0.0)


WELL = Health("hiloop", STATUS, (), 0.0)


def told_all(health: Health, told: Told = NOTHING_TOLD, now: float = NOW) -> tuple[list[Alert], Told]:
    """What is told, and what is known afterwards."""
    alerts = list(due_alerts(health, told, LIMITS, now))
    for alert in alerts:
        told = told.after(alert, health, now)
    return alerts, told


def test_all_is_well() -> None:
    assert told_all(WELL) == ([], NOTHING_TOLD)


def test_dead_letters_say_all_that_one_needs_to_act() -> None:
    health = with_dead(
        died("evt_1"), died("evt_2"), died("evt_3", "unknown_key", "handlers.tidy"), died("evt_4"), died("evt_5"),
        died("evt_6"), died("evt_7"),
    )  # fmt: skip
    (alert,), _ = told_all(health)
    assert (alert.kind, alert.severity, alert.resolved, alert.title) == (
        DEAD,
        "warning",
        False,
        "7 new dead letters, 7 in all",
    )
    assert alert.facts == (
        "why: handler_error (6), unknown_key (1)",
        "in: handlers.deploy (6), handlers.tidy (1)",
    )
    assert alert.events == ("evt_1", "evt_2", "evt_3", "evt_4", "evt_5")
    assert alert.commands == (
        "hiloop-receiver events show evt_1",
        "hiloop-receiver events replay --reason handler_error",
        "hiloop-receiver keys",
        "hiloop-receiver events replay --reason unknown_key",
    )
    assert alert.since == datetime.fromtimestamp(NOW, UTC)


def test_one_alert_of_a_kind_in_its_time_and_then_of_all_that_came_since() -> None:
    _, told = told_all(with_dead(died("evt_1")))
    more = with_dead(died("evt_1"), died("evt_2"), died("evt_3"))
    assert told_all(more, told, NOW + 1799) == ([], told)
    (alert,), told = told_all(more, told, NOW + 1800)
    assert (alert.title, alert.events) == ("2 new dead letters, 3 in all", ("evt_2", "evt_3"))
    assert alert.since == datetime.fromtimestamp(NOW, UTC)
    assert told_all(more, told, NOW + 9999) == ([], told), "nothing is new"


@pytest.mark.parametrize("reason", ["untrusted_sender", "unverifiable"])
def test_an_urgent_reason_is_told_at_once(reason: str) -> None:
    _, told = told_all(with_dead(died("evt_1")))
    (alert,), _ = told_all(with_dead(died("evt_1"), died("evt_2", reason)), told, NOW + 1)
    assert (alert.kind, alert.severity, alert.events) == (URGENT_DEAD, "critical", ("evt_2",))
    assert alert.facts[0] == f"why: {reason} (1)"


def test_it_is_well_again_once_no_dead_letter_is_left() -> None:
    _, told = told_all(with_dead(died("evt_1"), died("evt_2")))
    assert told_all(with_dead(died("evt_2"), totals={"handler_error": 2}), told, NOW + 1) == ([], told)
    (alert,), told = told_all(with_dead(totals={"handler_error": 2}), told, NOW + 60)
    assert (alert.kind, alert.resolved, alert.title) == (DEAD, True, "no dead letters are left")
    assert alert.since == datetime.fromtimestamp(NOW, UTC)
    assert told_all(with_dead(totals={"handler_error": 2}), told, NOW + 61) == ([], told)


def test_what_was_mended_before_it_was_told_is_not_told() -> None:
    assert told_all(with_dead(totals={"handler_error": 5}))[0] == []
    (alert,), _ = told_all(with_dead(died("evt_6"), totals={"handler_error": 6}))
    assert alert.title == "1 new dead letter, 1 in all"


def test_a_redis_that_was_emptied_counts_anew() -> None:
    told = Told({}, {}, {"handler_error": 100})
    (alert,), _ = told_all(with_dead(died("evt_1")), told)
    assert alert.title.startswith("1 new dead letter,")


@pytest.mark.parametrize(
    ("change", "idle", "kinds"),
    [
        ({"oldest_waiting": 299.0, "waiting": 1}, 299.0, []),
        ({"oldest_waiting": 300.0, "waiting": 1}, 0.0, [WAITING]),
        ({"oldest_waiting": 10.0, "waiting": 1}, 300.0, [STALLED]),
        ({"oldest_waiting": 7200.0, "waiting": 1}, 7200.0, [STALLED, WAITING]),
    ],
)
def test_what_waits_too_long(change: dict[str, Any], idle: float, kinds: list[str]) -> None:
    health = Health("hiloop", replace(STATUS, **change), (), idle)
    alerts, told = told_all(health)
    assert [alert.kind for alert in alerts] == kinds
    for alert in alerts:
        assert alert.facts == ("waiting 1, retrying 1, in flight 2 of 100, workers 1",)
        assert alert.commands == ("hiloop-receiver status", "hiloop-receiver events list --status running")
    assert [(alert.kind, alert.resolved) for alert in told_all(WELL, told, NOW + 1)[0]] == [(k, True) for k in kinds]
    assert list(due_alerts(health, NOTHING_TOLD, Alerting(waiting=0, stalled=0), NOW)) == []


def test_times_are_shown_for_people() -> None:
    status = replace(STATUS, oldest_waiting=7230.0, suspended=True)
    stalled, waiting = told_all(Health("hiloop", status, (), 90.0 + 210))[0]
    assert stalled.title == "nothing has been handled for 5 min, although events wait"
    assert waiting.title == "the oldest waiting event has waited for 120 min"
    assert (stalled.facts[1], stalled.commands[0]) == ("the workers are suspended", "rq resume")


def test_one_that_comes_and_goes_is_told_once_in_its_time() -> None:
    waiting = Health("hiloop", replace(STATUS, oldest_waiting=400.0), (), 0.0)
    seen = []
    told = NOTHING_TOLD
    for second in range(0, 1700, 10):
        alerts, told = told_all(waiting if second % 20 else WELL, told, NOW + second)
        seen += [alert.resolved for alert in alerts]
    assert seen == [False, True]


def test_what_was_told_is_read_as_it_was_written() -> None:
    _, told = told_all(with_dead(died("evt_1"), died("evt_2", "unverifiable")))
    assert Told.from_json(told.to_json()) == told


# What may stand in Redis where we have written what was told.
NONE_OF_OURS = ["[]", "null", "1", '{"at": 1}', '{"at": {"x": "y"}}', '{"open": []}', "[" * 9999]


@given(st.text() | st.sampled_from(NONE_OF_OURS))
def test_whatever_stands_in_redis_is_read_or_forgotten(text: str) -> None:
    assert Told.from_json(text) == NOTHING_TOLD


@pytest.mark.parametrize("time", ["1e999", "-1e999", "NaN", "1e18", "-1", '"x"', "null", "10" * 200])
@pytest.mark.parametrize("name", ["at", "open"])
def test_what_is_no_time_is_forgotten(name: str, time: str) -> None:
    assert Told.from_json(f'{{"{name}": {{"dead_letters": {time}}}}}') == NOTHING_TOLD


def test_a_chat_shows_nothing_that_was_smuggled_in() -> None:
    health = with_dead(died("evt_1", "<!channel>", "handlers\n<https://evil|click>\x1b[2J"))
    (alert,), _ = told_all(health)
    body = alert.as_json()
    assert "<" not in body["text"]
    assert ">" not in body["text"]
    assert body["text"].replace("\n", "").isprintable()
    assert body["text"].splitlines()[0] == "🟠 1 new dead letter, 1 in all (queue hiloop)"
    assert body["alert"]["state"] == "firing"
