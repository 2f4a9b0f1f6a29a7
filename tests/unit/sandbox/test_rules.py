"""Rules of the autopilot: how they are written, and which one decides."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.errors import ConfigurationError
from receiver.sandbox.human import HumanMessage, HumanSession
from receiver.sandbox.rules import EXAMPLE, Rule, always, decide, parse

TOML = """
[[rule]]
agent = "deploy-*"
title = "Deploy*"
text = "*production*"
priority = "high"
answer = "reject"
after = "2s"

[[rule]]
form = { severity = "High", affected = ["API"] }

[[rule]]
ignore = true
after = 0.5
"""
RULES = [
    Rule(agent="deploy-*", title="Deploy*", text="*production*", priority="high", answer="reject", after=2),
    Rule(form={"severity": "High", "affected": ["API"]}),
    Rule(ignore=True, after=0.5),
]


def session(**changes: Any) -> HumanSession:
    return HumanSession(**{
        "id": "s", "agent_name": "deploy-bot", "status": "Open", "priority": "High", "waiting": True,
        "title": "Deploy v2?", **changes,
    })  # fmt: skip


def message(**changes: Any) -> HumanMessage:
    return HumanMessage(**{
        "id": "m", "session_id": "s", "sender_type": "Agent", "priority": "High", "response_required": True,
        "created_at": "", "answered": False, "readable": True, "content": None,
        "components": [{"type": "text", "data": {"content": "To Production now"}}], **changes,
    })  # fmt: skip


def test_toml_and_json() -> None:
    assert parse(TOML, "rules.toml") == RULES
    assert parse('{"rule": [{"answer": "approve"}]}', "rules.json") == always("approve")


def test_the_example_of_the_help_is_right() -> None:
    first, second, third = parse(EXAMPLE, "example.toml")
    assert (first.answer, first.after, second.form, third.ignore) == (
        "reject",
        2,
        {"severity": "High", "affected": ["API"]},
        True,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[rule]", "rules.toml: "),
        ("", "has no"),
        ("rule = 3", "has no"),
        ("rule = [3]", "has no"),
        ("[[rule]]", "rule 1: needs exactly one of"),
        ('[[rule]]\nanswer = "a"\nclose = true', "exactly one"),
        ("[[rule]]\nanswer = 3", "answer must be a str"),
        ('[[rule]]\nanswer = "a"\ntitle = 3', "title must be a string"),
        ('[[rule]]\nanswer = "a"\nwhen = "x"', "unknown setting 'when'"),
        ('[[rule]]\nanswer = "a"\nafter = "soon"', "after: a duration"),
        ('[[rule]]\nanswer = "a"\nafter = -1', "after: a duration"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse(text, "rules.toml")


@pytest.mark.parametrize(
    ("the_session", "the_message", "rule"),
    [
        (session(), message(), 0),
        (session(title="DEPLOY"), message(), 0),
        (session(agent_name="other"), message(), 1),
        (session(title=None), message(), 1),
        (session(), message(priority="Low"), 1),
        (session(), message(components=None), 1),
        (session(), message(components=None, content="production"), 0),
    ],
)
def test_the_first_that_matches_decides(the_session: HumanSession, the_message: HumanMessage, rule: int) -> None:
    assert decide(RULES, the_session, the_message) == RULES[rule]


def test_without_a_match_nothing_is_decided() -> None:
    assert decide(RULES[:1], session(agent_name="x"), message()) is None
