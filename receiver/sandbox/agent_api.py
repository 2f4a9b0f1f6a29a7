"""The agent's side of the API, under `/v1/agent`: who calls, idempotency, and one short function an endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from receiver.keyring import API_KEY
from receiver.sandbox.delivery import Deliverer, statistics
from receiver.sandbox.fields import Fields
from receiver.sandbox.hiloop import Hiloop
from receiver.sandbox.problems import Problem, invalid, not_found
from receiver.sandbox.records import DELIVERY_STATUSES, Delivery, Member, Session
from receiver.sandbox.web import Endpoint, answer, page, read_fields, seconds, whole

_LONGEST_POLL: Final = 30.0  # seconds
_IDEMPOTENCY_SECONDS: Final = 24 * 3600.0
_LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an agent."""

    agent: Member
    request: Request
    body: Fields


class ApiKeys:
    """The API keys that are let in, known by their hashes, and how many requests a second each may make."""

    def __init__(self, api_keys: list[str], rate_limit: float | None = None) -> None:
        self._hashes = {hashlib.sha256(each.encode()).digest() for each in api_keys}
        self._rate_limit = rate_limit
        self._allowance: dict[bytes, tuple[float, float]] = {}  # hash → requests that are left, and as of when

    def admit(self, request: Request) -> None:
        """Let the caller in, or raise 401, 403 (a provisioning key) or 429."""
        api_key = request.headers.get("x-api-key", "")
        if api_key.startswith("hlp_prov_"):
            raise Problem(403, "provisioning_key", "a provisioning key makes agents and cannot act as one")
        digest = hashlib.sha256(api_key.encode()).digest()
        if not API_KEY.fullmatch(api_key) or digest not in self._hashes:
            raise Problem(401, "unauthorized", "the X-API-Key header is missing or not valid")
        if self._rate_limit is not None:
            self._count(digest, self._rate_limit)

    def _count(self, digest: bytes, rate: float) -> None:
        now = time.monotonic()
        most = max(1.0, rate)
        left, since = self._allowance.get(digest, (most, now))
        left = min(most, left + (now - since) * rate)
        if left < 1:
            wait = str(max(1, round((1 - left) / rate)))
            raise Problem(429, "rate_limited", "too many requests", headers={"Retry-After": wait})
        self._allowance[digest] = (left - 1, now)


class Idempotency:
    """Remembers for 24 h what a POST with an `Idempotency-Key` was answered with. In memory only."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str, str], tuple[float, bytes, Response]] = {}

    def answer(self, call: Call, make: Callable[[], Response]) -> Response:
        """The answer given to the same key before, or a new one. Raises 422 if the key came with another body.

        Only success is remembered, so that a refused request can be mended and sent again.
        """
        key = call.request.headers.get("idempotency-key")
        if not key:
            return make()
        now = time.monotonic()
        while self._answers and next(iter(self._answers.values()))[0] < now:
            del self._answers[next(iter(self._answers))]  # the oldest come first
        place = (call.agent.id, call.request.url.path, key)
        digest = hashlib.sha256(repr(call.body.body).encode("utf-8", "surrogatepass")).digest()
        _, known, response = self._answers.get(place, (0.0, digest, None))
        if known != digest:
            raise invalid([{"field": "Idempotency-Key", "problem": "was used with another body"}])
        if response is None:
            response = make()
            self._answers[place] = (now + _IDEMPOTENCY_SECONDS, digest, response)
        return Response(response.body, response.status_code, media_type="application/json")


class AgentApi:
    """The endpoints; `routes` is the table of them."""

    def __init__(self, hiloop: Hiloop, deliverer: Deliverer, keys: ApiKeys, started: str) -> None:
        self._hiloop = hiloop
        self._deliverer = deliverer
        self._keys = keys
        self._started = started
        self._idempotency = Idempotency()

    def routes(self) -> list[BaseRoute]:
        """Every path of the contract."""
        table: tuple[tuple[str, str, Callable[[Call], Response]], ...] = (
            ("GET", "/keys", self.list_keys),
            ("PUT", "/keys", self.publish_key),
            ("POST", "/sessions", self.create_session),
            ("GET", "/sessions", self.list_sessions),
            ("GET", "/sessions/{id}", self.get_session),
            ("POST", "/sessions/{id}/messages", self.send_message),
            ("GET", "/sessions/{id}/timeline", self.timeline),
            ("POST", "/sessions/{id}/close", self.close),
            ("POST", "/sessions/{id}/archive", self.archive),
            ("GET", "/sessions/{id}/participants", self.participants),
            ("POST", "/sessions/{id}/participants", self.add_participant),
            ("POST", "/sessions/{id}/guest-tokens", self.invite_guest),
            ("POST", "/sessions/{id}/typing", self.typing),
            ("GET", "/webhook-deliveries", self.list_deliveries),
            ("GET", "/webhook-deliveries/stats", self.delivery_stats),
            ("GET", "/webhook-deliveries/{id}", self.get_delivery),
            ("POST", "/webhook-deliveries/{id}/retry", self.retry_delivery),
        )
        routes = [Route(path, self._endpoint(method, act), methods=[method]) for method, path, act in table]
        routes.append(Route("/sessions/{id}/await", self.await_response, methods=["GET"]))
        return [Mount("/v1/agent", routes=routes)]

    def _endpoint(self, method: str, act: Callable[[Call], Response]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            call = await self._call(request)
            # From here on nothing is awaited: what an endpoint does is one step for everybody else.
            return self._idempotency.answer(call, partial(act, call)) if method == "POST" else act(call)

        return endpoint

    async def _call(self, request: Request) -> Call:
        self._keys.admit(request)
        name = request.headers.get("x-hiloop", "").strip()
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise invalid(
                [{"field": "X-Hiloop", "problem": f"must name the agent, in 1 to {_LONGEST_NAME} characters"}]
            )
        body = await read_fields(request)
        return Call(self._hiloop.agent(name), request, body)

    def _session(self, call: Call) -> Session:
        return self._hiloop.session(call.agent, call.request.path_params["id"])

    # Keys

    def list_keys(self, call: Call) -> Response:
        """The keys of everybody a new session is shared with."""
        return whole(
            [
                {"participantId": member.id, "participantType": member.type, "name": member.name, **key}
                for member in self._hiloop.default_members(call.agent)
                for key in member.current_keys()
            ]
        )

    def publish_key(self, call: Call) -> Response:
        """Make a public key the agent's current one."""
        key = call.body.public_key("publicKey")
        call.body.check()
        return answer(self._hiloop.publish_key(call.agent, key, call.body.body["publicKey"]))

    # Sessions

    def create_session(self, call: Call) -> Response:
        """Start a session."""
        return answer(self._hiloop.create_session(call.agent, call.body).as_json(), 201)

    def list_sessions(self, call: Call) -> Response:
        """The agent's sessions, newest first."""
        return page(call.request, self._hiloop.sessions(call.agent), Session.as_json)

    def get_session(self, call: Call) -> Response:
        """One session."""
        return answer(self._session(call).as_json())

    def send_message(self, call: Call) -> Response:
        """Write to the humans."""
        message = self._hiloop.send_message(call.agent, self._session(call), call.body)
        return answer(message.as_json(), 201)

    def timeline(self, call: Call) -> Response:
        """Messages and responses, oldest first."""
        return page(call.request, self._hiloop.timeline(self._session(call)), lambda item: item.as_json())

    def close(self, call: Call) -> Response:
        """End the conversation."""
        return answer(self._hiloop.close(self._session(call)).as_json())

    def archive(self, call: Call) -> Response:
        """Put the session away."""
        return answer(self._hiloop.archive(self._session(call)).as_json())

    def participants(self, call: Call) -> Response:
        """Who takes part, with the keys to seal for."""
        session = self._session(call)
        return whole([participant_json(session, each) for each in self._hiloop.participants(session)])

    def add_participant(self, call: Call) -> Response:
        """Add somebody; 200 instead of 201 if they took part already."""
        session = self._session(call)
        member, joined = self._hiloop.add_participant(session, call.body)
        return answer(participant_json(session, member), 201 if joined else 200)

    def invite_guest(self, call: Call) -> Response:
        """Make a token with which somebody without an account can take part."""
        guest, token = self._hiloop.invite_guest(self._session(call), call.body)
        # A fragment stays in the browser: the token is in no log.
        url = f"{call.request.url.scheme}://{call.request.url.netloc}/#guest={token}"
        return answer({"id": guest.id, "token": token, "url": url, "expiresAt": guest.expires_at}, 201)

    def typing(self, call: Call) -> Response:
        """Let the humans see that the agent is writing."""
        session = self._session(call)
        typing = call.body.flag("typing", default=True)
        call.body.check()
        self._hiloop.feed.publish("typing", session.id, typing=typing)
        return Response(status_code=204)

    async def await_response(self, request: Request) -> Response:
        """Hold the request until there is a response, at most for ``timeout`` seconds."""
        call = await self._call(request)
        session = self._session(call)
        longest = seconds(request, "timeout", default=_LONGEST_POLL, high=_LONGEST_POLL)
        after = request.query_params.get("after")
        with self._hiloop.feed.subscribed() as notices:
            response = self._hiloop.awaited(session, after)
            try:
                async with asyncio.timeout(longest):
                    while response is None and await notices.get() is not None:
                        response = self._hiloop.awaited(session, after)
            except TimeoutError:
                pass
        return answer({"response": response.as_json() if response else None})

    # Deliveries

    def _deliveries(self, call: Call) -> list[Delivery]:
        every = reversed(self._hiloop.state.deliveries.values())
        return [each for each in every if each.agent_id == call.agent.id]

    def _delivery(self, call: Call) -> Delivery:
        delivery = self._hiloop.state.deliveries.get(call.request.path_params["id"])
        if delivery is None or delivery.agent_id != call.agent.id:
            raise not_found("delivery")
        return delivery

    def list_deliveries(self, call: Call) -> Response:
        """The deliveries of the agent's events, newest first."""
        return page(call.request, with_status(call.request, self._deliveries(call)), Delivery.as_json)

    def get_delivery(self, call: Call) -> Response:
        """One delivery, with the request that brings it."""
        delivery = self._delivery(call)
        return answer(delivery.as_json() | self._deliverer.request_of(delivery))

    def delivery_stats(self, call: Call) -> Response:
        """How the deliveries of the agent's events have gone since the sandbox was started."""
        return answer(statistics(self._deliveries(call), self._started))

    def retry_delivery(self, call: Call) -> Response:
        """Send an event again."""
        delivery = self._delivery(call)
        self._deliverer.retry(delivery)
        return answer(delivery.as_json(), 202)


def participant_json(session: Session, member: Member) -> dict[str, Any]:
    """A participant of ``session``, with the keys to seal for."""
    return {
        "id": member.id,
        "type": member.type,
        "name": member.name,
        "keys": member.current_keys(),
        "joinedAt": session.joined[member.id],
    }


def with_status(request: Request, deliveries: list[Delivery]) -> list[Delivery]:
    """Those of ``deliveries`` that have the status the query asks for. Raises 422 for an unknown one."""
    status = request.query_params.get("status")
    if status is None:
        return deliveries
    if status not in DELIVERY_STATUSES:
        raise invalid([{"field": "status", "problem": f"must be one of {', '.join(DELIVERY_STATUSES)}"}])
    return [each for each in deliveries if each.status == status]
