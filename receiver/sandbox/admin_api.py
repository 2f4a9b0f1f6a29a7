"""The admin's side of the API, under `/admin/api`: webhooks, their faults and deliveries, and the clock."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from typing import Any, Final

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from receiver.sandbox import faults
from receiver.sandbox.agent_api import with_status
from receiver.sandbox.clock import Clock, timestamp
from receiver.sandbox.delivery import Deliverer, statistics
from receiver.sandbox.faults import Faults
from receiver.sandbox.fields import Fields
from receiver.sandbox.hiloop import Hiloop
from receiver.sandbox.news import stream
from receiver.sandbox.problems import not_found
from receiver.sandbox.records import Delivery, Webhook, camel
from receiver.sandbox.web import Endpoint, answer, page, read_fields, whole

_SCOPE: Final = ("spaces", "agents", "event_types")
_SECRET_LENGTH: Final = 500

Act = Callable[[Request, Fields], Response]


class AdminApi:
    """The endpoints; `routes` is the table of them."""

    def __init__(
        self,
        hiloop: Hiloop,
        deliverer: Deliverer,
        faults_of_webhooks: Faults,
        clock: Clock,
        started: str,
        changed: Callable[[], None],
    ) -> None:
        self._hiloop = hiloop
        self._deliverer = deliverer
        self._faults = faults_of_webhooks
        self._clock = clock
        self._started = started
        self._changed = changed

    def routes(self) -> list[BaseRoute]:
        """Every path of the admin's side."""
        table: tuple[tuple[str, str, Act], ...] = (
            ("GET", "/webhooks", self.list_webhooks),
            ("POST", "/webhooks", self.create_webhook),
            ("GET", "/webhooks/{id}", self.get_webhook),
            ("PATCH", "/webhooks/{id}", self.change_webhook),
            ("DELETE", "/webhooks/{id}", self.delete_webhook),
            ("POST", "/webhooks/{id}/test", self.send_test),
            ("PUT", "/webhooks/{id}/faults", self.set_faults),
            ("GET", "/deliveries", self.list_deliveries),
            ("GET", "/deliveries/stats", self.delivery_stats),
            ("POST", "/deliveries/{id}/retry", self.retry_delivery),
            ("GET", "/clock", self.get_clock),
            ("PUT", "/clock", self.set_clock),
            ("GET", "/agents", self.list_agents),
        )
        routes = [Route(path, _endpoint(act), methods=[method]) for method, path, act in table]
        routes.append(Route("/events", self.events, methods=["GET"]))
        return [Mount("/admin/api", routes=routes)]

    def _webhook(self, request: Request) -> Webhook:
        webhook = self._hiloop.state.webhooks.get(request.path_params["id"])
        if webhook is None:
            raise not_found("webhook")
        return webhook

    def _shown(self, webhook: Webhook) -> dict[str, Any]:
        return {**webhook.as_json(), "faults": [each.as_json() for each in self._faults.of(webhook.id)]}

    def list_webhooks(self, request: Request, _body: Fields) -> Response:
        """All webhooks, oldest first; without their tokens and secrets."""
        return page(request, list(self._hiloop.state.webhooks.values()), self._shown)

    def create_webhook(self, _request: Request, body: Fields) -> Response:
        """Make a webhook; the answer is the only one that holds its token and secret."""
        webhook = Webhook(
            id=str(uuid.uuid4()),
            url=_url(body),
            token=body.text("token", limit=_SECRET_LENGTH, required=False) or secrets.token_urlsafe(32),
            secret=body.text("secret", limit=_SECRET_LENGTH, required=False) or secrets.token_urlsafe(32),
            description=body.text("description", required=False),
            enabled=body.flag("enabled", default=True),
            created_at=timestamp(),
            **_scope(body),
        )
        _check_token(body, webhook.token)
        body.check()
        wanted = faults.from_json(body.body.get("faults", []))
        self._hiloop.state.webhooks[webhook.id] = webhook
        self._faults.set(webhook.id, wanted)
        self._changed()
        return answer({**self._shown(webhook), "token": webhook.token, "secret": webhook.secret}, 201)

    def get_webhook(self, request: Request, _body: Fields) -> Response:
        """One webhook."""
        return answer(self._shown(self._webhook(request)))

    def change_webhook(self, request: Request, body: Fields) -> Response:
        """Change what is given: url, token, secret, description, enabled, the whole scope."""
        webhook = self._webhook(request)
        given = body.body
        changes: dict[str, Any] = _scope(body) if "scope" in given else {}
        if "url" in given:
            changes["url"] = _url(body)
        for name in ("token", "secret"):
            if name in given:
                changes[name] = body.text(name, limit=_SECRET_LENGTH)
        if "description" in given:
            changes["description"] = body.text("description", required=False)
        changes["enabled"] = body.flag("enabled", default=webhook.enabled)
        _check_token(body, changes.get("token", ""))
        body.check()
        for name, value in changes.items():
            setattr(webhook, name, value)
        self._changed()
        return answer(self._shown(webhook))

    def delete_webhook(self, request: Request, _body: Fields) -> Response:
        """Remove a webhook; what is on its way to it fails with its next attempt."""
        del self._hiloop.state.webhooks[self._webhook(request).id]
        self._changed()
        return Response(status_code=204)

    def send_test(self, request: Request, _body: Fields) -> Response:
        """Send a `webhook.test` to this webhook."""
        delivery_id = self._hiloop.test_webhook(self._webhook(request))
        return answer(self._hiloop.state.deliveries[delivery_id].as_json(), 202)

    def set_faults(self, request: Request, body: Fields) -> Response:
        """Say what goes wrong from now on; an empty list heals the webhook."""
        webhook = self._webhook(request)
        self._faults.set(webhook.id, faults.from_json(body.body.get("faults")))
        return answer(self._shown(webhook))

    def _deliveries(self, request: Request) -> list[Delivery]:
        webhook_id = request.query_params.get("webhookId")
        every = reversed(self._hiloop.state.deliveries.values())
        return [each for each in every if webhook_id in (None, each.webhook_id)]

    def list_deliveries(self, request: Request, _body: Fields) -> Response:
        """All deliveries, of all agents, newest first."""
        return page(request, with_status(request, self._deliveries(request)), Delivery.as_json)

    def delivery_stats(self, request: Request, _body: Fields) -> Response:
        """How all deliveries have gone."""
        return answer(statistics(self._deliveries(request), self._started))

    def retry_delivery(self, request: Request, _body: Fields) -> Response:
        """Send an event again."""
        delivery = self._hiloop.state.deliveries.get(request.path_params["id"])
        if delivery is None:
            raise not_found("delivery")
        self._deliverer.retry(delivery)
        return answer(delivery.as_json(), 202)

    async def events(self, request: Request) -> Response:
        """Server-sent events about everything, also about attempts to deliver."""
        return stream(request, self._hiloop.feed, lambda _notice: True)

    def get_clock(self, _request: Request, _body: Fields) -> Response:
        """How fast time runs."""
        return answer({"speed": self._clock.speed})

    def set_clock(self, _request: Request, body: Fields) -> Response:
        """Let time run faster or slower, also for retries that are waiting already."""
        speed = body.number("speed", low=0.001, high=1_000_000, default=0)
        body.check()
        self._clock.speed = speed
        return answer({"speed": speed})

    def list_agents(self, _request: Request, _body: Fields) -> Response:
        """The agents, for whom webhooks can be scoped."""
        members = self._hiloop.state.members.values()
        return whole(
            [{"id": each.id, "name": each.name, "spaceId": each.space_id} for each in members if each.type == "Agent"]
        )


def _endpoint(act: Act) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return act(request, await read_fields(request))

    return endpoint


def _url(body: Fields) -> str:
    url = body.text("url", limit=2000)
    try:
        address = httpx.Request("POST", url).url
        good = address.scheme in ("http", "https") and bool(address.host) and address.port != 0
    except (httpx.InvalidURL, ValueError):  # the latter from names that IDNA does not know
        good = False
    if url and not good:
        body.wrong("url", "must be an http or https address")
    return url


def _scope(body: Fields) -> dict[str, list[str]]:
    given = body.body.get("scope") or {}
    if not isinstance(given, dict):
        body.wrong("scope", "must be an object with spaces, agents, eventTypes")
        return {name: [] for name in _SCOPE}
    lists = Fields(given)
    scope = {name: lists.texts(camel(name)) for name in _SCOPE}
    lists.check()
    return scope


def _check_token(body: Fields, token: str) -> None:
    if not token.isascii() or not token.isprintable() or " " in token:
        body.wrong("token", "must be of visible ASCII characters, as it goes into a header")
