"""The tree of errors: what the docstring draws is what the classes are."""

from __future__ import annotations

import inspect
import re

import pytest

from receiver import errors
from receiver.errors import (
    ConfigurationError,
    HandlerControl,
    OpenError,
    ReceiverError,
    ReplayedAnswer,
    RequestError,
    RetryLater,
    UntrustedSender,
    Unverifiable,
)


def drawn() -> dict[str, tuple[str | None, str]]:
    """The tree in the module's docstring: name → (parent's name, remark)."""
    tree: dict[str, tuple[str | None, str]] = {}
    path: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]  # it has one
        match = re.fullmatch(r"([ │├└─]*)([A-Z]\w+)\s*(.*)", line)
        if match is None or not (match[1] or line.startswith("ReceiverError")):
            continue
        column = match.start(2)
        path = [(at, name) for at, name in path if at < column]
        tree[match[2]] = (path[-1][1] if path else None, match[3])
        path.append((column, match[2]))
    return tree


def defined() -> dict[str, type[Exception]]:
    """All exceptions that the module defines."""
    return {
        name: thing
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ == errors.__name__
    }


def test_the_tree_is_complete() -> None:
    assert drawn().keys() == defined().keys()
    assert len(drawn()) >= 15


def test_the_tree_shows_the_parents() -> None:
    parents = {name: thing.__bases__[0].__name__ for name, thing in defined().items() if thing is not ReceiverError}
    assert {name: parent for name, (parent, _) in drawn().items() if parent} == parents


def test_the_tree_shows_the_statuses() -> None:
    remarks = {name: remark for name, (parent, remark) in drawn().items() if parent == "RequestError"}
    assert remarks == {name: str(thing.status) for name, thing in defined().items() if name in remarks}  # type: ignore[attr-defined]


def test_every_error_has_a_docstring() -> None:
    assert [name for name, thing in defined().items() if not thing.__doc__] == []


def test_codes_of_refusals_are_unique() -> None:
    codes = [thing.code for thing in defined().values() if issubclass(thing, RequestError)]
    assert len(set(codes)) == len(codes)


def test_reasons_of_dead_letters_are_the_names_of_the_contract() -> None:
    reasons = {thing.reason for thing in defined().values() if issubclass(thing, OpenError) and thing is not OpenError}
    assert reasons == {"unknown_key", "bad_envelope", "bad_ciphertext"}
    assert Unverifiable.reason == "unverifiable"
    assert (UntrustedSender.reason, ReplayedAnswer.reason) == ("untrusted_sender", "replayed_answer")


@pytest.mark.parametrize(("problems", "first_line"), [(["A is wrong"], "1 setting is"), (["A", "B"], "2 settings are")])
def test_configuration_error_lists_every_problem(problems: list[str], first_line: str) -> None:
    text = str(ConfigurationError(problems))
    assert text.splitlines() == [f"{first_line} wrong:", *(f"  - {problem}" for problem in problems)]


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("-inf")])
def test_retry_later_refuses_senseless_times(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds >= 0"):
        RetryLater(seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300])
def test_retry_later_refuses_times_that_never_come(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        RetryLater(seconds)


def test_a_handlers_wish_is_no_failure_of_ours() -> None:
    assert issubclass(RetryLater, HandlerControl)
    assert RetryLater(1.5).seconds == 1.5
