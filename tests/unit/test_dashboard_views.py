"""What pages are made of: filters in addresses, charts, and how values are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.dashboard.charts import HEIGHT, WIDTH, curves, nice, stacked
from receiver.dashboard.filters import asked, settled
from receiver.dashboard.render import Templates, age, ago, ms, number, percent, read_static, size, url, word
from receiver.stored import Filter

NOW = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)


def test_a_filter_has_all_of_the_command_line() -> None:
    given = {"status": "handled", "type": "a.*", "agent": "b", "session": "c", "handler": "d", "reason": "timeout"}
    question = asked({**given, "since": "2h", "until": "2026-11-22T13:00Z", "cursor": "0.50"}, NOW)
    wanted = Filter(**given, since=NOW - timedelta(hours=2), until=NOW - timedelta(minutes=30))
    assert question.wanted == wanted
    assert asked(dict(parse_qsl(settled(question).query())), NOW + timedelta(hours=1)).wanted == wanted


@pytest.mark.parametrize(
    ("name", "text"), [("since", "yesterday"), ("until", "2h ago"), ("since", "9" * 30), ("status", "all")]
)
def test_what_cannot_be_understood_is_said_and_left_out(name: str, text: str) -> None:
    question = asked({name: text}, NOW)
    assert question.problems.keys() == {name}
    assert question.wanted == Filter()


@given(st.dictionaries(st.sampled_from(["status", "type", "since", "until", "agent"]), st.text()))
def test_any_address_can_be_read(parameters: dict[str, str]) -> None:
    settled(asked(parameters, NOW)).query(status="failed")


@given(st.lists(st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1, max_size=70))
def test_charts_stay_in_their_box(values: list[tuple[int, int, int]]) -> None:
    first, second, line = (list(one) for one in zip(*values, strict=True))
    chart = stacked([str(i) for i in range(len(values))], {"handled": first, "failed": second}, {"accepted": line})
    for bar in (bar for place in chart.places for bar in place.bars):
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH + 0.02
        assert -0.02 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.02
    assert chart.is_empty == (not any(map(any, values)))
    assert len(chart.rows) == len(values)


def test_a_curve_has_gaps_where_nothing_is_known() -> None:
    chart = curves(["a", "b", "c"], {"p50": [1.0, None, 2.0]}, "ms")
    assert chart.lines["p50"].count("M") == 2
    assert chart.rows[1] == ("b", "–")


@given(st.floats(1, 1e12))
def test_nice_numbers_are_not_less(value: float) -> None:
    assert value <= nice(value) <= 3 * value


def test_values_are_shown_for_people() -> None:
    assert (age(None), age(0.2), age(90), age(7200), age(200_000)) == ("–", "0s", "2m", "2h", "2d")
    assert (size(100), size(2048), size(3e6), size(5e9)) == ("100 B", "2.0 kB", "2.9 MB", "4.7 GB")
    assert (number(1234), number(0.25), number(0)) == ("1,234", "0.2", "0")
    assert (ms(None), ms(1.25), ms(12), ms(3400), ms(float("inf"))) == ("–", "1.2 ms", "12 ms", "3.4 s", "> 5 min")
    assert (percent(None), percent(0.9921), percent(1)) == ("–", "99.21 %", "100 %")
    assert ago(None) == "–"
    assert "2h ago" in ago(datetime.now(UTC) - timedelta(hours=2))
    assert "in 2m" in ago(datetime.now(UTC) + timedelta(minutes=2))
    assert url("event", id="a&b", status=None) == "/dashboard/event?id=a%26b"


@given(st.text())
def test_names_are_never_markup(text: str) -> None:
    shown = str(word(text)).replace("<wbr>", "")
    assert not set(shown) & set("<>\"'\r\n\x1b\u202e")


def test_every_template_is_there_and_escapes() -> None:
    templates = Templates(read_static())
    shown = templates.render(
        "error.html", session=None, here="/", now=NOW, title="<script>alert(1)</script>", text="<b>"
    )
    assert "<script>alert" not in shown
    assert "&lt;b&gt;" in shown
