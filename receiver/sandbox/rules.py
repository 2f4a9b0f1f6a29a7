"""Rules by which a scripted human answers by itself: which messages, what, and how long after. Pure.

A file of rules is TOML like `EXAMPLE`, or the same as JSON: ``{"rule": [{"agent": "deploy-*", "answer": "reject"}]}``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from receiver.errors import ConfigurationError
from receiver.sandbox.clock import duration
from receiver.sandbox.components import texts
from receiver.sandbox.human import HumanMessage, HumanSession

EXAMPLE: Final = """\
[[rule]]                  # the first rule that matches a message decides
agent = "deploy-*"        # globs, in any case; what is not given matches all
title = "Deploy*"
text = "*production*"     # anywhere in the message
priority = "high"
answer = "reject"         # one of: answer, form, say, close, ignore
after = "2s"

[[rule]]
form = { severity = "High", affected = ["API"] }

[[rule]]
title = "Nightly report*"
ignore = true
"""
_GLOBS: Final = ("agent", "title", "text", "priority")
_ACTS: Final = ("answer", "form", "say", "close", "ignore")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which messages (globs), what to do about them, and after how many seconds.

    Exactly one of ``answer``, ``form``, ``say``, ``close``, ``ignore`` is set. Where ``answer`` meets a form without
    buttons, the form is filled in plausibly.
    """

    agent: str = "*"
    title: str = "*"
    text: str = "*"
    priority: str = "*"
    answer: str | None = None
    form: dict[str, Any] | None = field(default=None, repr=False)
    say: str | None = field(default=None, repr=False)
    close: bool = False
    ignore: bool = False
    after: float = 0.0

    def matches(self, session: HumanSession, message: HumanMessage) -> bool:
        """Whether this rule is for ``message``."""
        written = "\n".join(texts([message.content, message.components]))
        return all(
            fnmatchcase(value.lower(), glob.lower())
            for value, glob in (
                (session.agent_name, self.agent),
                (session.title if isinstance(session.title, str) else "", self.title),
                (written, self.text),
                (message.priority, self.priority),
            )
        )


def always(action: str, after: float = 0.0) -> list[Rule]:
    """The rules of a human who answers everything with ``action``, ``after`` so many seconds."""
    return [Rule(answer=action, after=after)]


def decide(rules: Sequence[Rule], session: HumanSession, message: HumanMessage) -> Rule | None:
    """The first rule that matches, or None."""
    return next((rule for rule in rules if rule.matches(session, message)), None)


def parse(text: str, name: str) -> list[Rule]:
    """Read the rules in a file's ``text``, which is JSON if its ``name`` ends so, TOML otherwise.

    Raises `ConfigurationError` with all that is wrong.
    """
    try:
        document = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([f"{name}: {error}"]) from None
    tables = document.get("rule") if isinstance(document, dict) else None
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise ConfigurationError([f"{name}: has no [[rule]]; see `hiloop-receiver sandbox --help`"])
    problems = [
        f"{name}, rule {number}: {problem}" for number, table in enumerate(tables, 1) for problem in _wrong(table)
    ]
    if problems:
        raise ConfigurationError(problems)
    return [Rule(**{**table, "after": _seconds(table.get("after", 0))}) for table in tables]


def _wrong(table: dict[str, Any]) -> list[str]:
    problems = [f"unknown setting {each!r}" for each in table if each not in (*_GLOBS, *_ACTS, "after")]
    problems += [f"{each} must be a string" for each in _GLOBS if not isinstance(table.get(each, ""), str)]
    kinds = {"answer": str, "form": dict, "say": str, "close": bool, "ignore": bool}
    given = [each for each in _ACTS if table.get(each)]
    problems += [
        f"{each} must be a {kinds[each].__name__}"
        for each in _ACTS
        if each in table and not isinstance(table[each], kinds[each])
    ]
    if len(given) != 1:
        problems.append(f"needs exactly one of {', '.join(_ACTS)}")
    try:
        _seconds(table.get("after", 0))
    except ValueError as error:
        problems.append(f"after: {error}")
    return problems


def _seconds(value: Any) -> float:
    return duration(value if isinstance(value, str) else f"{value}")
