"""Log lines: one each, in UTC, and nothing from outside forges a line or a field, or steers a terminal."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.lines import FORMATS, as_json, as_text, printable

AT = 1_795_000_000.123456
# Controls of C0 and C1, and those that turn the direction of text, hide in it, or end a line (Unicode: Cc, Cf, Zl, Zp).
DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\xad؜\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

SHOWN = {
    "a line feed": ("a\nb", r"a\nb"),
    "a carriage return": ("a\r\nb", r"a\r\nb"),
    "an escape sequence": ("\x1b[2Jgone", r"\x1b[2Jgone"),
    "the same in one character": ("\x9b2J", r"\x9b2J"),
    "a tab": ("a\tb", r"a\tb"),
    "delete": ("\x7f", r"\x7f"),
    "right to left": ("a\u202eb", r"a\u202eb"),
    "an isolate": ("a\u2066b", r"a\u2066b"),
    "no width": ("a\u200bb", r"a\u200bb"),
    "a line separator": ("a\u2028b", r"a\u2028b"),
    "half a character": ("\ud800", r"\ud800"),
    "a tag": ("\U000e0041", r"\U000e0041"),
    "what people write": ("☃ é 漢字 🎉", "☃ é 漢字 🎉"),
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_what_is_not_printable_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_for_people() -> None:
    fields = {"event_id": "evt_1", "session_id": "", "agent": None, "attempt": 2, "ms": 1.23456, "note": "in a thread"}
    assert (
        as_text(AT, "info", "handled", fields)
        == '2026-11-18T11:06:40.123Z info    handled event_id=evt_1 attempt=2 ms=1.23 note="in a thread"'
    )


def test_a_line_of_json() -> None:
    fields = {"event_id": "evt_1", "agent": "", "attempt": 2, "late": False, "ms": 1.23456, "error": KeyError("canary")}
    assert json.loads(as_json(AT, "info", "handled", fields)) == {
        "time": "2026-11-18T11:06:40.123456Z",
        "level": "info",
        "message": "handled",
        "event_id": "evt_1",
        "attempt": 2,
        "late": False,
        "ms": 1.235,
        "error": "KeyError",
    }


@pytest.mark.parametrize("value", ["a level=error", 'a" b="c', "a=b", "\\", '\\" x=y', "\u00a0x=y", "\u3000x=y"])
def test_no_value_forges_a_field(value: str) -> None:
    fields = shlex.split(as_text(AT, "info", "accepted", {"type": value, "session_id": "s"}))
    assert [part.partition("=")[0] for part in fields[3:]] == ["type", "session_id"]
    assert fields[3].removeprefix("type=") == printable(value)


@pytest.mark.parametrize("name", ["a b", "a=b", "a\nb", "level", "message", "time", ""])
@pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS.keys())
def test_no_name_forges_a_field(render: Any, name: str) -> None:
    line = render(AT, "info", "accepted", {name: "x"})
    if render is as_json:
        assert json.loads(line) | {"level": "info", "message": "accepted"} == json.loads(line)
    else:
        assert re.fullmatch(r"\S+ info    accepted \w*=x", line)


@given(st.text(max_size=60), st.text(max_size=60))
@pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS.keys())
def test_one_line_each_and_nothing_dangerous_in_it(render: Any, what: str, value: str) -> None:
    line = render(AT, "info", what, {"type": value, "any": [value]})
    assert not DANGEROUS.search(line)
    if render is as_json:
        assert json.loads(line)["type" if value else "level"] == (printable(value) or "info")


@pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS.keys())
def test_no_value_makes_a_line_endless(render: Any) -> None:
    line = render(AT, "info", "x" * 10_000, {"type": "\x1b" * 10_000, "session_id": "y" * 10_000})
    assert len(line) < 5000
    assert line.count("…") == 3
