"""The rules of the platform: who may do what with sessions, and which events come of it. Knows no HTTP.

It handles ciphertext only; what it can check of an envelope is its shape and for whom it is sealed.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from receiver.keyring import key_id
from receiver.sandbox.clock import timestamp
from receiver.sandbox.delivery import Deliverer
from receiver.sandbox.feed import Feed
from receiver.sandbox.fields import Fields, missing_recipients
from receiver.sandbox.ids import new_id
from receiver.sandbox.problems import Problem, conflict, not_found
from receiver.sandbox.records import (
    PRIORITIES,
    Envelope,
    Event,
    Item,
    Key,
    Member,
    MemberType,
    Message,
    Response,
    Session,
    Webhook,
)
from receiver.sandbox.state import State

_GUEST_SECONDS: Final = 86400.0


class Hiloop:
    """All that agents, humans and guests can do. Every method is one step: it happens whole or raises `Problem`."""

    def __init__(self, state: State, deliverer: Deliverer, feed: Feed, changed: Callable[[], None]) -> None:
        self.state = state
        self.feed = feed
        self._deliverer = deliverer
        self._changed = changed

    # Members and their keys

    def agent(self, name: str) -> Member:
        """The agent of this name; made if there is none yet."""
        for member in self.state.members.values():
            if member.type == "Agent" and member.name == name:
                return member
        return self._new_member("Agent", name)

    def human(self) -> Member:
        """The human whose page this is."""
        return self.state.members[self.state.human_id]

    def guest(self, token: str) -> Member:
        """The guest with this token. Raises 401 if there is none or its time is up."""
        wanted = _hash(token)
        for member in self.state.members.values():
            if member.token_hash == wanted and (member.expires_at or "") > timestamp():
                return member
        raise Problem(401, "unauthorized", "the guest token is not valid, or no longer")

    def publish_key(self, member: Member, public_key: bytes, encoded: str) -> Key:
        """Make ``public_key`` the newest key of ``member``; older ones stay known."""
        key = {"keyId": key_id(public_key), "publicKey": encoded}
        if key not in member.keys[-1:]:
            member.keys = [*(each for each in member.keys if each != key), key]
            self._changed()
            self.feed.publish("keys.changed", None)
        return key

    def default_members(self, agent: Member) -> list[Member]:
        """With whom a new session of ``agent`` is shared: the humans of its space, and the agent itself."""
        humans = [
            each for each in self.state.members.values() if each.type == "Human" and each.space_id == agent.space_id
        ]
        return [*humans, agent]

    def participants(self, session: Session) -> list[Member]:
        """Who takes part in ``session``, in order of joining."""
        return [self.state.members[each] for each in session.joined]

    # Sessions

    def session(self, member: Member, session_id: str) -> Session:
        """The session with this id. Raises 404 if ``member`` takes no part in it."""
        session = self.state.sessions.get(session_id)
        if session is None or member.id not in session.joined:
            raise not_found("session")
        return session

    def sessions(self, member: Member) -> list[Session]:
        """The sessions ``member`` takes part in, newest first."""
        return [each for each in reversed(self.state.sessions.values()) if member.id in each.joined]

    def create_session(self, agent: Member, body: Fields) -> Session:
        """Start a session of ``agent`` under the id it has chosen."""
        now = timestamp()
        title = body.envelope("encryptedTitle")
        session = Session(
            id=body.session_id("id"),
            agent_id=agent.id,
            agent_name=agent.name,
            space_id=agent.space_id,
            status="Open",
            priority=body.priority(),
            encrypted_title=title or {},
            encrypted_description=body.envelope("encryptedDescription", required=False),
            encrypted_metadata=body.envelope("encryptedMetadata", required=False),
            created_at=now,
            updated_at=now,
            joined={member.id: now for member in self.default_members(agent)},
        )
        body.check()
        if not agent.keys:
            raise Problem(422, "agent_key_missing", "publish the agent's public key first, with PUT /v1/agent/keys")
        if session.id in self.state.sessions:
            raise conflict("session_exists", "there is a session with this id")
        envelopes = (session.encrypted_title, session.encrypted_description, session.encrypted_metadata)
        self._check_recipients(session, envelopes)
        self.state.sessions[session.id] = session
        self.state.timelines[session.id] = []
        self._happened("session.created", session, {"session": session.as_json()})
        return session

    def close(self, session: Session) -> Session:
        """End the conversation; closing twice is once."""
        if session.status == "Archived":
            raise conflict("session_archived", "the session is archived")
        if session.status == "Open":
            session.status, session.closed_at = "Closed", timestamp()
            self._happened("session.closed", session, {"session": session.as_json()})
        return session

    def archive(self, session: Session) -> Session:
        """Put the session away, closed or not; archiving twice is once."""
        if session.status != "Archived":
            session.status, session.closed_at = "Archived", session.closed_at or timestamp()
            self._happened("session.archived", session, {"session": session.as_json()})
        return session

    def add_participant(self, session: Session, body: Fields) -> tuple[Member, bool]:
        """Add a known participant, or invite somebody by email; also whether that changed anything."""
        participant_id = body.text("participantId", required=False)
        email = body.text("email", required=False)
        if bool(participant_id) == bool(email):
            body.wrong("participantId", "give either participantId or email")
        elif email and not all(email.partition("@")):
            body.wrong("email", "must be an address")
        body.check()
        member = self.state.members.get(participant_id) if participant_id else self._invited(email)
        if member is None or member.space_id != session.space_id:
            raise not_found("participant")
        return member, self._join(session, member)

    def invite_guest(self, session: Session, body: Fields) -> tuple[Member, str]:
        """Add a guest to ``session``; returns it and its token, which is kept nowhere."""
        name = body.text("name")
        seconds = body.number("expiresIn", low=60, high=30 * 86400, default=_GUEST_SECONDS)
        body.check()
        token = "gst_" + secrets.token_urlsafe(32)
        guest = self._new_member("Guest", name)
        guest.token_hash = _hash(token)
        guest.expires_at = timestamp(datetime.now(UTC) + timedelta(seconds=seconds))
        self._join(session, guest)
        return guest, token

    # The timeline

    def timeline(self, session: Session) -> list[Item]:
        """All messages and responses of ``session``, oldest first."""
        return self.state.timelines[session.id]

    def send_message(self, sender: Member, session: Session, body: Fields) -> Message:
        """Write in an open session. An agent may send components and require a response, others only text."""
        is_agent = sender.type == "Agent"
        content = body.envelope("encryptedContent", required=not is_agent)
        components = body.envelope("encryptedComponents", required=False) if is_agent else None
        required = body.flag("responseRequired", default=False) if is_agent else False
        priority = body.priority(default=session.priority) if is_agent else session.priority
        if is_agent and body.body.get("encryptedContent") is None and body.body.get("encryptedComponents") is None:
            body.wrong("encryptedContent", "a message needs encryptedContent or encryptedComponents")
        body.check()
        self._check_open(session)
        self._check_recipients(session, (content, components))
        message = Message(
            id=str(uuid.uuid4()),
            session_id=session.id,
            sender_type=sender.type,
            sender_id=sender.id,
            encrypted_content=content,
            encrypted_components=components,
            response_required=required,
            priority=priority,
            created_at=timestamp(),
        )
        self.timeline(session).append(message)
        if is_agent:
            self._touched("message.created", session)
        else:
            told = {
                "id": message.id,
                "senderType": message.sender_type,
                "senderId": message.sender_id,
                "encryptedContent": message.encrypted_content,
            }
            self._happened("message.created", session, {"message": told})
        return message

    def respond(self, responder: Member, session: Session, body: Fields) -> Response:
        """Answer a message of the agent. The first answer counts: a second one raises 409."""
        message_id = body.text("messageId")
        envelope = body.envelope("encryptedResponse")
        body.check()
        self._check_open(session)
        items = self.timeline(session)
        message = next((each for each in items if isinstance(each, Message) and each.id == message_id), None)
        if message is None or message.sender_type != "Agent":
            raise not_found("message of an agent")
        if any(isinstance(each, Response) and each.message_id == message_id for each in items):
            raise conflict("already_answered", "the message has been answered")
        self._check_recipients(session, (envelope,))
        response = Response(
            id=str(uuid.uuid4()),
            session_id=session.id,
            message_id=message_id,
            responder_type=responder.type,
            responder_id=responder.id,
            encrypted_response=envelope or {},
            created_at=timestamp(),
        )
        items.append(response)
        told = {
            "id": response.id,
            "messageId": message_id,
            "responderType": response.responder_type,
            "responderId": response.responder_id,
            "encryptedResponse": response.encrypted_response,
        }
        self._happened("response.created", session, {"response": told}, message.priority)
        return response

    def awaited(self, session: Session, after: str | None) -> Response | None:
        """The first response to a message at or after ``after``; without it, to the latest message that requires one.

        Where no message requires a response, the agent's latest message is meant. Raises 404 for an unknown one.
        """
        items = self.timeline(session)
        messages = [each for each in items if isinstance(each, Message)]
        if after is not None:
            start = next((index for index, each in enumerate(messages) if each.id == after), None)
            if start is None:
                raise not_found("message")
        else:
            asked = [index for index, each in enumerate(messages) if each.response_required]
            written = [index for index, each in enumerate(messages) if each.sender_type == "Agent"]
            start = (asked or written or [0])[-1]
        meant = {each.id for each in messages[start:]}
        return next((each for each in items if isinstance(each, Response) and each.message_id in meant), None)

    def is_waiting(self, session: Session) -> bool:
        """Whether a message of an open session requires a response and has none."""
        items = self.timeline(session)
        answered = {each.message_id for each in items if isinstance(each, Response)}
        return session.status == "Open" and any(
            isinstance(each, Message) and each.response_required and each.id not in answered for each in items
        )

    # Webhooks

    def test_webhook(self, webhook: Webhook) -> str:
        """Send a `webhook.test` to this webhook, whatever its scope; returns the id of its delivery."""
        event = self._event("webhook.test", None, {"webhook": {"id": webhook.id}}, "Normal")
        return self._deliverer.deliver(event, only=webhook)[0].id

    # What the above share

    def _new_member(self, kind: MemberType, name: str, email: str | None = None) -> Member:
        member = Member(str(uuid.uuid4()), kind, name, self.state.space_id, email=email)
        self.state.members[member.id] = member
        self._changed()
        return member

    def _invited(self, email: str) -> Member:
        for member in self.state.members.values():
            if member.email == email:
                return member
        return self._new_member("Human", email, email)

    def _join(self, session: Session, member: Member) -> bool:
        if member.id in session.joined:
            return False
        session.joined[member.id] = timestamp()
        told = {"id": member.id, "type": member.type, "name": member.name}
        self._happened("participant.added", session, {"participant": told})
        return True

    def _check_open(self, session: Session) -> None:
        if session.status != "Open":
            raise conflict("session_closed", "the session is closed")

    def _check_recipients(self, session: Session, envelopes: Iterable[Envelope | None]) -> None:
        wanted = {key["keyId"] for member in self.participants(session) for key in member.current_keys()}
        if missing_recipients(list(envelopes), wanted):
            raise conflict("keys_changed", "a participant has a key this is not sealed for: get the keys, seal again")

    def _touched(self, kind: str, session: Session) -> None:
        session.updated_at = timestamp()
        self._changed()
        self.feed.publish(kind, session.id)

    def _happened(self, kind: str, session: Session, data: dict[str, Any], priority: str = "") -> None:
        self._touched(kind, session)
        self._deliverer.deliver(self._event(kind, session, data, priority or session.priority))

    def _event(self, kind: str, session: Session | None, data: dict[str, Any], priority: str) -> Event:
        event = Event(
            id=new_id("evt_"),
            type=kind,
            created_at=timestamp(),
            space_id=session.space_id if session else self.state.space_id,
            agent_id=session.agent_id if session else None,
            agent_name=session.agent_name if session else None,
            session_id=session.id if session else None,
            priority=priority,
            data=data,
        )
        self.state.events[event.id] = event
        return event


def by_urgency(sessions: Iterable[Session]) -> list[Session]:
    """``sessions`` by priority, then in the order they have."""
    return sorted(sessions, key=lambda session: PRIORITIES.index(session.priority))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
