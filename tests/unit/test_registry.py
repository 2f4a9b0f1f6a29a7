"""Handlers: which events they want, which signatures they may have, and how registries compose."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import pytest

from workers.opened import OpenedEvent
from workers.registry import Registry


def event(**changes: Any) -> OpenedEvent:
    """An answer "approve" in session s-1 for deploy-bot."""
    parts: dict[str, Any] = {
        "id": "evt_1",
        "type": "response.created",
        "session_id": "s-1",
        "agent_id": "a-1",
        "agent_name": "deploy-bot",
        "space_id": "sp-1",
        "priority": "high",
        "created_at": datetime(2026, 11, 22, tzinfo=UTC),
        "response": "approve",
        "data": {},
        "senders": (),
    }
    return OpenedEvent(**{**parts, **changes})


FILTERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "anything": ({}, {}, True),
    "the type": ({"type": "response.created"}, {}, True),
    "another type": ({"type": "session.closed"}, {}, False),
    "a pattern": ({"type": "response.*"}, {}, True),
    "a pattern in the middle": ({"type": "*.created"}, {}, True),
    "a pattern that misses": ({"type": "session.*"}, {}, False),
    "types have case": ({"type": "Response.Created"}, {}, False),
    "a type is no regular expression": ({"type": "response.created"}, {"type": "responseXcreated"}, False),
    "a type of the future": ({"type": "moon.landed"}, {"type": "moon.landed"}, True),
    "the action": ({"action": "approve"}, {}, True),
    "another action": ({"action": "reject"}, {}, False),
    "actions have case": ({"action": "Approve"}, {}, False),
    "actions are no patterns": ({"action": "*"}, {}, False),
    "action of a form": ({"action": "approve"}, {"response": {"action": "approve"}}, False),
    "action without an answer": ({"action": "approve"}, {"response": None}, False),
    "the agent": ({"agent": "deploy-bot"}, {}, True),
    "a pattern of agents": ({"agent": "deploy-*"}, {}, True),
    "another agent": ({"agent": "other"}, {}, False),
    "agent without a name": ({"agent": "deploy-bot"}, {"agent_name": ""}, False),
    "the session": ({"session": "s-1"}, {}, True),
    "another session": ({"session": "s-2"}, {}, False),
    "sessions are no patterns": ({"session": "s-*"}, {}, False),
    "the priority": ({"priority": "high"}, {}, True),
    "another priority": ({"priority": "low"}, {}, False),
    "all of them": (
        {"type": "response.*", "action": "approve", "agent": "*bot", "session": "s-1", "priority": "high"},
        {},
        True,
    ),
    "all but one": ({"type": "response.*", "action": "approve", "agent": "*bot", "session": "s-2"}, {}, False),
}


@pytest.mark.parametrize(("filters", "changes", "wanted"), FILTERS.values(), ids=FILTERS.keys())
def test_filters(filters: dict[str, Any], changes: dict[str, Any], wanted: bool) -> None:
    registry = Registry()

    @registry.on(**filters)
    def handler(event: OpenedEvent) -> None: ...

    assert [one.function for one in registry.match(event(**changes))] == ([handler] if wanted else [])


def test_on_response_wants_answers_only() -> None:
    registry = Registry()

    @registry.on_response(action="approve", agent="deploy-bot", session="s-1", priority="high")
    def handler(event: OpenedEvent) -> None: ...

    assert len(registry.match(event())) == 1
    for change in ({"type": "message.created"}, {"response": "no"}, {"agent_name": "x"}, {"session_id": "x"}):
        assert registry.match(event(**change)) == []


def test_all_handlers_that_match_get_the_event_in_the_order_of_registration() -> None:
    registry = Registry()

    @registry.on("response.*")
    def second(event: OpenedEvent) -> None: ...

    @registry.on_response()
    def first(event: OpenedEvent) -> None: ...

    @registry.on("session.*")
    def never(event: OpenedEvent) -> None: ...

    assert [one.function for one in registry.match(event())] == [second, first]


def test_fallbacks_get_what_no_other_wants() -> None:
    registry = Registry()

    @registry.fallback(retries=7, timeout=2.5)
    def rest(event: OpenedEvent) -> None: ...

    @registry.on_response(action="approve")
    def approve(event: OpenedEvent) -> None: ...

    assert [one.function for one in registry.match(event())] == [approve]
    (fallback,) = registry.match(event(response="reject"))
    assert (fallback.function, fallback.retries, fallback.timeout) == (rest, 7, 2.5)
    assert [one.function for one in registry.match(event(type="webhook.test"))] == [rest]


def test_decorating_returns_the_function() -> None:
    registry = Registry()

    def handler(event: OpenedEvent) -> int:
        return 7

    assert registry.on()(handler) is handler
    assert registry.on_response()(registry.fallback()(handler)) is handler
    assert len(registry) == 3


def test_overrides_are_kept() -> None:
    registry = Registry()

    @registry.on(retries=0, timeout=0.5, ordered=False)
    def handler(event: OpenedEvent) -> None: ...

    (one,) = registry
    assert (one.retries, one.timeout, one.ordered) == (0, 0.5, False)


WRONG: dict[str, dict[str, Any]] = {
    "priority": {"priority": "urgent"},
    "priority in upper case": {"priority": "High"},
    "negative retries": {"retries": -1},
    "no time": {"timeout": 0},
    "negative time": {"timeout": -1.0},
    "time that is no number": {"timeout": float("nan")},
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("decorator", ["on", "on_response"])
def test_senseless_options_are_refused_at_import(decorator: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        getattr(Registry(), decorator)(**options)


@pytest.mark.parametrize("options", [{"retries": -1}, {"timeout": 0}], ids=["retries", "timeout"])
def test_senseless_options_of_a_fallback_are_refused_at_import(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Registry().fallback(**options)


def one(event: OpenedEvent) -> None: ...
async def one_async(event: OpenedEvent) -> None: ...
def two(event: OpenedEvent, client: Any) -> None: ...
def two_with_another_name(event: OpenedEvent, api: Any) -> None: ...
def optional_client(event: OpenedEvent, client: Any = None) -> None: ...
def optional_other(event: OpenedEvent, verbose: bool = False) -> None: ...
def optional_keyword(event: OpenedEvent, *, dry_run: bool = False) -> None: ...
def rest(event: OpenedEvent, *args: Any, **kwargs: Any) -> None: ...


class Callable:
    def __call__(self, event: OpenedEvent, client: Any) -> None: ...


SIGNATURES: dict[str, tuple[Any, bool, bool]] = {
    "plain": (one, False, False),
    "async": (one_async, False, True),
    "with a client": (two, True, False),
    "with a client by another name": (two_with_another_name, True, False),
    "client optional": (optional_client, True, False),
    "something else optional": (optional_other, False, False),
    "keyword optional": (optional_keyword, False, False),
    "anything more": (rest, False, False),
    "an object": (Callable(), True, False),
    "a partial": (functools.partial(two, client=None), False, False),
}


@pytest.mark.parametrize(("function", "client", "is_async"), SIGNATURES.values(), ids=SIGNATURES.keys())
def test_signatures(function: Any, client: bool, is_async: bool) -> None:
    registry = Registry()
    registry.on()(function)
    (handler,) = registry
    assert (handler.wants_client, handler.is_async) == (client, is_async)


def none() -> None: ...
def three(event: OpenedEvent, client: Any, more: Any) -> None: ...
def keyword_needed(event: OpenedEvent, *, dry_run: bool) -> None: ...
def only_keywords(**kwargs: Any) -> None: ...


@pytest.mark.parametrize("function", [none, three, keyword_needed, only_keywords])
def test_signatures_that_cannot_work_are_refused_at_import(function: Any) -> None:
    with pytest.raises(TypeError, match=r"must take \(event\) or \(event, client\)"):
        Registry().on()(function)


def test_forgotten_parentheses_are_explained() -> None:
    with pytest.raises(TypeError, match="parentheses"):
        Registry().on("session.closed")("not a function")  # type: ignore[type-var]  # what is tested


def test_a_decorator_used_without_parentheses_fails_at_import() -> None:
    registry = Registry()
    with pytest.raises(TypeError):

        @registry.on_response  # type: ignore[arg-type,misc]  # what is tested
        def handler(event: OpenedEvent) -> None: ...

    with pytest.raises(TypeError, match="parentheses"):

        @registry.on  # type: ignore[arg-type]  # what is tested
        def other(event: OpenedEvent) -> None: ...


def test_names_tell_handlers_apart() -> None:
    registry = Registry()
    for _ in range(3):
        registry.on()(one)
    registry.on()(two)
    names = [handler.name for handler in registry]
    assert names == [f"{__name__}.one", f"{__name__}.one#2", f"{__name__}.one#3", f"{__name__}.two"]


def test_registries_compose() -> None:
    outer, inner = Registry(), Registry()
    outer.on()(one)
    inner.on_response(action="approve")(two)
    outer.include(inner)
    assert [handler.function for handler in outer.match(event())] == [one, two]
    assert len(inner) == 1


def test_names_tell_included_handlers_apart() -> None:
    outer, inner = Registry(), Registry()
    outer.on("response.*")(one)
    inner.on_response()(one)
    outer.include(inner)
    assert len({handler.name for handler in outer.match(event())}) == 2


def test_clear_forgets_all() -> None:
    registry = Registry()
    registry.on()(one)
    registry.clear()
    assert (len(registry), registry.match(event())) == (0, [])
