"""The calls about what is said in a session: send, read, wait for an answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from receiver.client import fields, key_cache, profile_v1, routes
from receiver.client.arguments import check_priority, check_text, read_priority
from receiver.client.caller import Caller
from receiver.client.components import asks_for_answer, check_components
from receiver.client.exchange import Call, Pause, exchange
from receiver.client.listings import Listing, gather, listing
from receiver.client.models import Message, NoResponse, Response, TimelineItem, UnknownItem
from receiver.client.retries import Retries
from receiver.client.sealing import Opener, send_sealed
from receiver.client.sessions import create_session, get_session
from receiver.errors import HiloopError, MalformedAnswer, ValidationFailed

T = TypeVar("T")

# The longest that the API lets one call wait, in seconds.
LONGEST_POLL: Final = 30
# A server that answers "nothing yet" at once is asked no more often than this, in seconds.
SHORTEST_ROUND: Final = 1.0
# How long the API may be unreachable in the middle of a wait before the wait fails, in seconds.
LONGEST_OUTAGE: Final = 300.0
_ONE_TRY: Final = Retries(attempts=1)


def send_message(
    caller: Caller,
    session_id: str,
    content: str | None = None,
    *,
    components: Sequence[Mapping[str, Any]] | None = None,
    response_required: bool | None = None,
    priority: str = "normal",
) -> Call[Message]:
    """Say something: ``content`` as text, ``components`` as dictionaries or by builders, or both.

    ``response_required`` marks the message as waiting for an answer; by default it does if a component can be
    answered (a button group or a form). Returns the `Message`. Raises `ValidationFailed`, which points at the
    place, for components of a wrong shape, and other `HiloopError`.
    """
    sealed: dict[str, Any] = {}
    if content is not None:
        sealed[profile_v1.CONTENT] = check_text(content, "content")
    if components:
        sealed[profile_v1.COMPONENTS] = checked = check_components(components)
        if response_required is None:
            response_required = asks_for_answer(checked)
    if not sealed:
        raise ValidationFailed("a message needs content or components")
    answer = yield from send_sealed(
        caller,
        routes.SEND_MESSAGE,
        ids={"session_id": session_id},
        session_id=session_id,
        scope=key_cache.session(session_id),
        sealed=sealed,
        plain={"responseRequired": bool(response_required), "priority": check_priority(priority)},
    )
    return _read_message(caller, answer, session_id)


def get_timeline(
    caller: Caller, session_id: str, *, limit: int | None = None, cursor: str | None = None
) -> Call[Listing[TimelineItem]]:
    """Read the conversation, oldest first: all of it, or in pages of ``limit`` items.

    Returns a page of `Message`, `Response` and `UnknownItem`. An item that does not open is there, with
    ``error`` as the reason. Raises `HiloopError`.
    """
    first = yield from listing(
        caller,
        routes.GET_TIMELINE,
        lambda raw: _read_item(caller, raw, session_id),
        ids={"session_id": session_id},
        query={"limit": limit},
        cursor=cursor,
    )
    return first if limit is not None else (yield from gather(first))


def await_response(
    caller: Caller,
    session_id: str,
    *,
    after: str | None = None,
    timeout: float | None = None,
    default: Any = None,
) -> Call[Response | NoResponse]:
    """Wait until a human has answered the message ``after`` (its id) or a later one.

    Without ``after`` the latest message that requires an answer is meant. Returns the `Response`; or, if
    nobody has answered within ``timeout`` seconds (None: however long it takes) or the session was ended, a
    `NoResponse` whose ``response`` is ``default``. Restarts of the API in between are sat out for up to five
    minutes. Raises `HiloopError`, also if the API cannot be asked when the time is up: then nobody knows
    whether there is an answer.
    """
    if timeout is not None and not timeout >= 0:
        raise ValidationFailed("timeout must be a number of seconds, not below 0")
    deadline = math.inf if timeout is None else caller.clock() + timeout
    last: Literal["timeout", "closed"] | None = None
    while True:
        if caller.clock() >= deadline:
            last = last or "timeout"
        started = caller.clock()
        # An end is only final once the API was asked after it: the answer may have come just before.
        response = yield from (
            _poll(caller, session_id, after, 0)
            if last
            else _patiently(caller, deadline, lambda: _poll(caller, session_id, after, _wait(caller, deadline)))
        )
        if response is not None:
            return response
        if last:
            return NoResponse(session_id, last, default)
        session = yield from _patiently(caller, deadline, lambda: get_session(caller, session_id))
        if session.status in profile_v1.ENDED_STATUSES:
            last = "closed"
            continue
        early = min(SHORTEST_ROUND, deadline - started) - (caller.clock() - started)
        if early > 0:
            yield Pause(early)


def ask(
    caller: Caller,
    title: str,
    components: Sequence[Mapping[str, Any]] | None = None,
    *,
    content: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: str = "normal",
    timeout: float | None = None,
    default: Any = None,
) -> Call[Response | NoResponse]:
    """Ask the humans one thing in a session of its own and wait for the answer.

    Arguments and results are those of `create_session`, `send_message` and `await_response`. Raises
    `HiloopError`.
    """
    if content is None and not components:
        raise ValidationFailed("a question needs content or components")
    # Before there is a session that would wait for nothing.
    if content is not None:
        check_text(content, "content")
    if components:
        check_components(components)
    session = yield from create_session(caller, title, description=description, metadata=metadata, priority=priority)
    message = yield from send_message(
        caller, session.id, content, components=components, response_required=True, priority=priority
    )
    return (yield from await_response(caller, session.id, after=message.id, timeout=timeout, default=default))


def _wait(caller: Caller, deadline: float) -> int:
    """Whole seconds for the API to wait from now on."""
    return math.ceil(max(0.0, min(deadline - caller.clock(), LONGEST_POLL)))


def _poll(caller: Caller, session_id: str, after: str | None, wait: int) -> Call[Response | None]:
    """Ask once whether there is an answer, for up to ``wait`` seconds."""
    answer = yield from exchange(
        caller,
        profile_v1.AWAIT_RESPONSE,
        ids={"session_id": session_id},
        query={"timeout": wait, "after": after},
        timeout=wait + caller.timeout,
        # Another try would wait as long again, so `_patiently` makes it, with what is left of the time.
        retries=_ONE_TRY if wait else None,
    )
    if answer.get("response") is None:
        return None
    return _read_response(caller, fields.child(answer, "response"), session_id)


def _patiently(caller: Caller, deadline: float, make: Callable[[], Call[T]]) -> Call[T]:
    """Take the call that ``make`` makes, again and again through an outage, but not beyond the deadline."""
    outage: float | None = None
    attempt = 1
    while True:
        try:
            return (yield from make())
        except HiloopError as error:
            outage = caller.clock() if outage is None else outage
            pause = caller.retries.backoff(error, attempt, caller.random)
            resumed = caller.clock() + (pause or 0.0)
            if pause is None or resumed > deadline or resumed - outage > LONGEST_OUTAGE:
                raise
        yield Pause(pause)
        attempt += 1


def _read_item(caller: Caller, raw: fields.Fields, session_id: str) -> TimelineItem:
    kind = fields.text(raw, "kind")
    if kind == "message":
        return _read_message(caller, raw, session_id)
    if kind == "response":
        return _read_response(caller, raw, session_id)
    return UnknownItem(kind, raw)


def _read_message(caller: Caller, raw: fields.Fields, session_id: str) -> Message:
    _check_session(raw, session_id)
    opener = Opener(caller.keyring, session_id, raw)
    sender = fields.optional_text(raw, "senderId")
    return Message(
        id=fields.text(raw, "id"),
        session_id=session_id,
        sender_type=fields.text(raw, "senderType"),
        sender_id=fields.optional_text(raw, "senderAgentId") if sender is None else sender,
        content=opener.text(profile_v1.CONTENT),
        components=opener.components(profile_v1.COMPONENTS),
        error=opener.error,
        sender_key_id=opener.sender_key_id,
        response_required=fields.flag(raw, "responseRequired"),
        priority=read_priority(raw),
        created_at=fields.time(raw, "createdAt"),
        raw=raw,
    )


def _read_response(caller: Caller, raw: fields.Fields, session_id: str) -> Response:
    _check_session(raw, session_id)
    opener = Opener(caller.keyring, session_id, raw)
    return Response(
        id=fields.text(raw, "id"),
        session_id=session_id,
        message_id=fields.text(raw, "messageId"),
        responder_type=fields.text(raw, "responderType"),
        responder_id=fields.optional_text(raw, "responderId"),
        response=opener.value(profile_v1.RESPONSE),
        error=opener.error,
        sender_key_id=opener.sender_key_id,
        created_at=fields.time(raw, "createdAt"),
        raw=raw,
    )


def _check_session(raw: fields.Fields, session_id: str) -> None:
    if fields.text(raw, "sessionId") != session_id:
        raise MalformedAnswer("the API answered with something of another session than the one asked for")
