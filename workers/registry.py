"""Which handlers want which events. Pure: it matches, `workers.dispatch` runs.

on("session.closed")                                   by type; `*` matches any part of it
on_response(action="approve", agent="deploy-bot")      a human's answer
fallback()                                             events nobody else wants
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from receiver.events import PRIORITIES, RESPONSE_TYPE
from workers.opened import OpenedEvent

Function = Callable[..., Any] | Callable[..., Awaitable[Any]]
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

# What narrows a handler down beside the type.
FILTERS: Final = ("action", "agent", "session", "priority")
_NO_PARENTHESES: Final = 'write the decorator with parentheses: @on_response() or @on("session.closed")'


@dataclass(frozen=True, slots=True)
class Handler:
    """A function and the events it wants.

    ``type`` and ``agent`` are patterns with ``*``; the other filters match exactly; None matches anything.
    ``retries``, ``timeout`` (seconds) and ``ordered`` override the worker's settings where they are not None.
    """

    function: Function
    name: str
    type: str = "*"
    action: str | None = None
    agent: str | None = None
    session: str | None = None
    priority: str | None = None
    is_fallback: bool = False
    retries: int | None = None
    timeout: float | None = None
    ordered: bool = True
    wants_client: bool = False
    is_async: bool = False

    def matches(self, event: OpenedEvent) -> bool:
        """Whether this handler wants ``event``; a fallback's filters are asked here too."""
        return (
            fnmatchcase(event.type, self.type)
            and (self.agent is None or fnmatchcase(event.agent_name, self.agent))
            and (self.session is None or event.session_id == self.session)
            and (self.priority is None or event.priority == self.priority)
            and (self.action is None or event.response == self.action)
        )


class Registry:
    """The handlers of one worker, in the order in which they were registered. Registries compose: see `include`."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def on(
        self,
        type: str = "*",  # noqa: A002  # the field's name on the wire; shadows nothing that is used here
        *,
        action: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        priority: str | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> Callable[[_Decorated], _Decorated]:
        """Register a handler for events of ``type`` (``*`` matches any part: ``session.*``).

        ``action``: only answers with exactly this value, e.g. the action of a button. ``agent``: name of the agent,
        ``*`` allowed. ``session``: one session's id. ``priority``: critical, high, normal or low. ``retries``: tries
        after the first. ``timeout``: seconds. ``ordered=False``: later events of the session need not wait for this
        handler. Raises `ValueError` or `TypeError` for what cannot work, at import.
        """
        if not isinstance(type, str):
            raise TypeError(_NO_PARENTHESES)
        if priority is not None and priority not in PRIORITIES:
            raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, not {priority!r}")
        return self._register(
            {
                "type": type,
                "action": action,
                "agent": agent,
                "session": session,
                "priority": priority,
                "retries": retries,
                "timeout": timeout,
                "ordered": ordered,
            }
        )

    def on_response(
        self,
        *,
        action: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        priority: str | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> Callable[[_Decorated], _Decorated]:
        """Register a handler for answers of humans; filters as in `on`."""
        return self.on(
            RESPONSE_TYPE,
            action=action,
            agent=agent,
            session=session,
            priority=priority,
            retries=retries,
            timeout=timeout,
            ordered=ordered,
        )

    def fallback(
        self, *, retries: int | None = None, timeout: float | None = None
    ) -> Callable[[_Decorated], _Decorated]:
        """Register a handler for events that no other handler wants."""
        return self._register({"is_fallback": True, "retries": retries, "timeout": timeout})

    def include(self, other: Registry) -> None:
        """Take over all handlers of ``other``."""
        for handler in list(other):
            self._add(handler)

    def match(self, event: OpenedEvent) -> list[Handler]:
        """The handlers that want ``event``; the fallbacks if no other does."""
        wanted = [handler for handler in self._handlers if not handler.is_fallback and handler.matches(event)]
        return wanted or [handler for handler in self._handlers if handler.is_fallback]

    def clear(self) -> None:
        """Forget all handlers."""
        self._handlers.clear()

    def _add(self, handler: Handler) -> None:
        # Progress is kept by name, so no two handlers may share one.
        name = handler.name.split("#")[0]
        taken = sum(one.name.split("#")[0] == name for one in self._handlers)
        self._handlers.append(replace(handler, name=f"{name}#{taken + 1}" if taken else name))

    def _register(self, filters: Mapping[str, Any]) -> Callable[[_Decorated], _Decorated]:
        retries, timeout = filters["retries"], filters["timeout"]
        if retries is not None and retries < 0:
            raise ValueError(f"retries must not be negative, but is {retries}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, but is {timeout}")

        def decorate(function: _Decorated) -> _Decorated:
            if not callable(function):
                raise TypeError(_NO_PARENTHESES)
            name = f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
            self._add(
                Handler(
                    function,
                    name=name,
                    wants_client=_arguments_wanted(function, name) == 2,
                    is_async=inspect.iscoroutinefunction(inspect.unwrap(function)),
                    **filters,
                )
            )
            return function

        return decorate


def _arguments_wanted(function: Callable[..., Any], name: str) -> int:
    """1 for ``handler(event)``, 2 for ``handler(event, client)``. Raises `TypeError` for any other signature."""
    parameters = inspect.signature(function).parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = [one for one in positional if one.default is one.empty]
    keyword_only = [one for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if keyword_only or not len(positional) >= 1 or len(required) > 2:
        raise TypeError(f"the handler {name} must take (event) or (event, client)")
    return 2 if len(required) == 2 or (len(positional) >= 2 and positional[1].name == "client") else 1


registry = Registry()
"""The registry behind `workers.on`, `workers.on_response` and `workers.fallback`."""

on = registry.on
on_response = registry.on_response
fallback = registry.fallback
