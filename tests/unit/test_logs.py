"""Log lines: one a record, in UTC, and nothing from outside forges a line or steers a terminal."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.logs import LineFormatter, parse_level

FORMATTER = LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")


def line(message: str, *arguments: object) -> str:
    """How one record is written."""
    return FORMATTER.format(logging.LogRecord("hiloop.test", logging.INFO, __file__, 1, message, arguments, None))


def test_a_line() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 INFO hiloop\.test accepted: event=evt_1",
        line("accepted: event=%s", "evt_1"),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\x0d\\nb"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b2J", "\\x9b2J"),
        ("a\tb", "a\\x09b"),
        ("\x7f", "\\x7f"),
        ("☃ é", "☃ é"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert line("%s", text).endswith(f" {shown}")


@given(st.text(max_size=50))
def test_one_line_a_record(text: str) -> None:
    written = line("event=%s", text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", written)


@pytest.mark.parametrize(("text", "level"), [("debug", 10), ("INFO", 20), ("Warning", 30), ("error", 40)])
def test_levels(text: str, level: int) -> None:
    assert parse_level(text) == level


@pytest.mark.parametrize("text", ["", "verbose", "10", "notset", "critical", "getLogger"])
def test_no_levels(text: str) -> None:
    with pytest.raises(ValueError, match="must be one of: debug, info, warning, error"):
        parse_level(text)
