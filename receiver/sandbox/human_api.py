"""The human's side of the API, under `/human/api`: what the page, `trigger` and the scripted human use.

The caller is the human whose sandbox this is; with `Authorization: Bearer gst_…` it is a guest, who sees the one
session the token was made for. Keys are published here, private ones never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from receiver.sandbox.agent_api import participant_json
from receiver.sandbox.feed import DELIVERY_ATTEMPTED, Notice
from receiver.sandbox.fields import Fields
from receiver.sandbox.hiloop import Hiloop, by_urgency
from receiver.sandbox.news import stream
from receiver.sandbox.records import Member, Session
from receiver.sandbox.web import Endpoint, answer, page, read_fields, whole

Act = Callable[[Member, Request, Fields], Response]


class HumanApi:
    """The endpoints; `routes` is the table of them."""

    def __init__(self, hiloop: Hiloop) -> None:
        self._hiloop = hiloop

    def routes(self) -> list[BaseRoute]:
        """Every path of the human's side."""
        table: tuple[tuple[str, str, Act], ...] = (
            ("GET", "/me", self.me),
            ("PUT", "/keys", self.publish_key),
            ("GET", "/sessions", self.list_sessions),
            ("GET", "/sessions/{id}", self.get_session),
            ("GET", "/sessions/{id}/timeline", self.timeline),
            ("GET", "/sessions/{id}/participants", self.participants),
            ("POST", "/sessions/{id}/responses", self.respond),
            ("POST", "/sessions/{id}/messages", self.send_message),
            ("POST", "/sessions/{id}/close", self.close),
        )
        routes = [Route(path, self._endpoint(act), methods=[method]) for method, path, act in table]
        routes.append(Route("/events", self.events, methods=["GET"]))
        return [Mount("/human/api", routes=routes)]

    def _endpoint(self, act: Act) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            fields = await read_fields(request)
            return act(self._caller(request), request, fields)

        return endpoint

    def _caller(self, request: Request) -> Member:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._hiloop.guest(token) if scheme.lower() == "bearer" else self._hiloop.human()

    def _session(self, member: Member, request: Request) -> Session:
        return self._hiloop.session(member, request.path_params["id"])

    def _shown(self, session: Session) -> dict[str, Any]:
        agent = self._hiloop.state.members[session.agent_id]
        waiting = self._hiloop.is_waiting(session)
        return {**session.as_json(), "agentKeys": agent.current_keys(), "waiting": waiting}

    def me(self, member: Member, _request: Request, _body: Fields) -> Response:
        """Who the caller is."""
        return answer({"id": member.id, "type": member.type, "name": member.name, "keys": member.keys})

    def publish_key(self, member: Member, _request: Request, body: Fields) -> Response:
        """Add the key of one more device."""
        key = body.public_key("publicKey")
        body.check()
        return answer(self._hiloop.publish_key(member, key, body.body["publicKey"]))

    def list_sessions(self, member: Member, request: Request, _body: Fields) -> Response:
        """The sessions by priority, then newest first."""
        return page(request, by_urgency(self._hiloop.sessions(member)), self._shown)

    def get_session(self, member: Member, request: Request, _body: Fields) -> Response:
        """One session."""
        return answer(self._shown(self._session(member, request)))

    def timeline(self, member: Member, request: Request, _body: Fields) -> Response:
        """Messages and responses, oldest first."""
        return page(request, self._hiloop.timeline(self._session(member, request)), lambda item: item.as_json())

    def participants(self, member: Member, request: Request, _body: Fields) -> Response:
        """Who takes part, with the keys to seal for."""
        session = self._session(member, request)
        return whole([participant_json(session, each) for each in self._hiloop.participants(session)])

    def respond(self, member: Member, request: Request, body: Fields) -> Response:
        """Answer a message of the agent."""
        response = self._hiloop.respond(member, self._session(member, request), body)
        return answer(response.as_json(), 201)

    def send_message(self, member: Member, request: Request, body: Fields) -> Response:
        """Write to the agent."""
        message = self._hiloop.send_message(member, self._session(member, request), body)
        return answer(message.as_json(), 201)

    def close(self, member: Member, request: Request, _body: Fields) -> Response:
        """End the conversation."""
        return answer(self._shown(self._hiloop.close(self._session(member, request))))

    async def events(self, request: Request) -> Response:
        """Server-sent events about the caller's sessions, as they happen."""
        return stream(request, self._hiloop.feed, partial(self._concerns, self._caller(request)))

    def _concerns(self, member: Member, notice: Notice) -> bool:
        if notice["type"] == DELIVERY_ATTEMPTED:
            return False
        session = self._hiloop.state.sessions.get(notice["sessionId"] or "")
        return session is None or member.id in session.joined
