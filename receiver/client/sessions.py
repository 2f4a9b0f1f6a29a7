"""The calls about sessions and who takes part in them. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from receiver.client import fields, key_cache, profile_v1, routes
from receiver.client.arguments import check_priority, check_text, read_priority
from receiver.client.caller import Caller
from receiver.client.exchange import Call, exchange
from receiver.client.listings import Listing, listing
from receiver.client.models import GuestToken, Participant, Session
from receiver.client.sealing import Opener, read_key, send_sealed
from receiver.errors import MalformedAnswer, ValidationFailed


def create_session(
    caller: Caller,
    title: str,
    *,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: str = "normal",
) -> Call[Session]:
    """Open a session with the humans of this agent's space.

    ``title``, ``description`` and ``metadata`` (any JSON object) are sealed; ``priority`` is `critical`,
    `high`, `normal` or `low`, and readable to the platform. Returns a `Session`. Raises `HiloopError`.
    """
    check_text(title, "title")
    sealed: dict[str, Any] = {profile_v1.TITLE: title}
    if description is not None:
        sealed[profile_v1.DESCRIPTION] = check_text(description, "description")
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise ValidationFailed("metadata must be a mapping")
        sealed[profile_v1.METADATA] = dict(metadata)
    # The id is ours to choose: what is sealed is bound to it, before the API has heard of the session.
    session_id = str(uuid.uuid4())
    answer = yield from send_sealed(
        caller,
        routes.CREATE_SESSION,
        session_id=session_id,
        scope=key_cache.new_sessions_of(caller.name),
        sealed=sealed,
        plain={"id": session_id, "priority": check_priority(priority)},
    )
    return _read_session(caller, answer, session_id)


def get_session(caller: Caller, session_id: str) -> Call[Session]:
    """Return the `Session`. Raises `NotFound` and other `HiloopError`."""
    answer = yield from exchange(caller, routes.GET_SESSION, ids={"session_id": session_id})
    return _read_session(caller, answer, session_id)


def list_sessions(caller: Caller, *, limit: int = 50, cursor: str | None = None) -> Call[Listing[Session]]:
    """List this agent's sessions in pages of ``limit``.

    Returns a page of `Session`; iterating it goes on to the end. Raises `HiloopError`.
    """
    return (
        yield from listing(
            caller,
            routes.LIST_SESSIONS,
            lambda raw: _read_session(caller, raw, fields.text(raw, "id")),
            query={"limit": limit},
            cursor=cursor,
        )
    )


def close_session(caller: Caller, session_id: str) -> Call[Session]:
    """End the session: nobody can answer any more. Returns the `Session`. Raises `HiloopError`."""
    answer = yield from exchange(caller, routes.CLOSE_SESSION, ids={"session_id": session_id})
    return _read_session(caller, answer, session_id)


def archive_session(caller: Caller, session_id: str) -> Call[Session]:
    """Put the session out of sight. Returns the `Session`. Raises `HiloopError`."""
    answer = yield from exchange(caller, routes.ARCHIVE_SESSION, ids={"session_id": session_id})
    return _read_session(caller, answer, session_id)


def add_participant(
    caller: Caller, session_id: str, participant_id: str | None = None, *, email: str | None = None
) -> Call[Participant]:
    """Let somebody take part, named by either id or e-mail address.

    What is sent from now on is sealed for them too; what was sent before stays closed to them.
    Returns the `Participant`. Raises `HiloopError`.
    """
    if (participant_id is None) == (email is None):
        raise ValidationFailed("add_participant takes either participant_id or email")
    if participant_id is None:
        body = {"email": check_text(email, "email")}
    else:
        body = {"participantId": check_text(participant_id, "participant_id")}
    answer = yield from exchange(caller, routes.ADD_PARTICIPANT, ids={"session_id": session_id}, body=body)
    caller.key_cache.forget(key_cache.session(session_id))
    return _read_participant(answer)


def list_participants(
    caller: Caller, session_id: str, *, limit: int = 50, cursor: str | None = None
) -> Call[Listing[Participant]]:
    """List who takes part, in pages of ``limit``. Returns a page of `Participant`. Raises `HiloopError`."""
    return (
        yield from listing(
            caller,
            routes.LIST_PARTICIPANTS,
            _read_participant,
            ids={"session_id": session_id},
            query={"limit": limit},
            cursor=cursor,
        )
    )


def create_guest_token(caller: Caller, session_id: str, name: str, *, expires_in: int = 3600) -> Call[GuestToken]:
    """Make a token with which a guest called ``name`` may take part for ``expires_in`` seconds.

    Returns a `GuestToken`, to be handed over like a password. Raises `HiloopError`.
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int) or expires_in < 1:
        raise ValidationFailed("expires_in must be a whole number of seconds above 0")
    answer = yield from exchange(
        caller,
        routes.CREATE_GUEST_TOKEN,
        ids={"session_id": session_id},
        body={"name": check_text(name, "name"), "expiresIn": expires_in},
    )
    return GuestToken(
        id=fields.text(answer, "id"),
        token=fields.text(answer, "token"),
        url=fields.optional_text(answer, "url"),
        expires_at=fields.optional_time(answer, "expiresAt"),
        raw=answer,
    )


def send_typing(caller: Caller, session_id: str, *, typing: bool = True) -> Call[None]:
    """Show the humans that the agent is about to write, or no longer is. Raises `HiloopError`."""
    yield from exchange(caller, routes.SEND_TYPING, ids={"session_id": session_id}, body={"typing": bool(typing)})


def _read_session(caller: Caller, raw: fields.Fields, session_id: str) -> Session:
    if fields.text(raw, "id") != session_id:
        raise MalformedAnswer("the API answered with another session than the one asked for")
    opener = Opener(caller.keyring, session_id, raw)
    return Session(
        id=session_id,
        status=fields.text(raw, "status"),
        priority=read_priority(raw),
        agent_id=fields.optional_text(raw, "agentId"),
        agent_name=fields.optional_text(raw, "agentName"),
        space_id=fields.optional_text(raw, "spaceId"),
        title=opener.text(profile_v1.TITLE),
        description=opener.text(profile_v1.DESCRIPTION),
        metadata=opener.mapping(profile_v1.METADATA),
        error=opener.error,
        created_at=fields.time(raw, "createdAt"),
        updated_at=fields.optional_time(raw, "updatedAt"),
        closed_at=fields.optional_time(raw, "closedAt"),
        raw=raw,
    )


def _read_participant(raw: fields.Fields) -> Participant:
    return Participant(
        id=fields.text(raw, "id"),
        type=fields.text(raw, "type"),
        name=fields.optional_text(raw, "name"),
        keys=tuple(read_key(key) for key in fields.children(raw, "keys")),
        joined_at=fields.optional_time(raw, "joinedAt"),
        raw=raw,
    )
