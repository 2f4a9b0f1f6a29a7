"""What changes something: logging in and out, and orders. Every order is shown before it is given, and logged."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from receiver.dashboard.access import SESSION_SECONDS
from receiver.dashboard.filters import Asked, asked, settled
from receiver.dashboard.render import ROOT, url
from receiver.dashboard.safety import BadForm, is_same_origin, is_secure, local_path, read_form, set_cookie
from receiver.dashboard.views import Desk, Refused, session_of
from receiver.errors import InvalidOrder, TooManyOrders
from receiver.ledger import SCAN_LIMIT
from receiver.logs import get_logger
from receiver.orders import MAX_IDS, Order
from receiver.stored import StoredEvent

logger = get_logger()

_SHOWN_FIRST: Final = 10


@dataclass(frozen=True, slots=True)
class Touched:
    """What an order would touch: the first events, and how many of those looked at match, by type, handler and reason.
    ``is_all``: whether every event was looked at; of ``stored`` in all.
    """

    first: tuple[StoredEvent, ...]
    number: int
    is_all: bool
    stored: int
    by: Mapping[str, list[tuple[str, int]]]
    seen_at: float


class Actions:
    """Endpoints that change something, and the pages that ask first."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def login_page(self, request: Request) -> Response:
        """Where one logs in."""
        return self._ask(request, request.query_params.get("next", ""))

    async def login(self, request: Request) -> Response:
        """Check a token. Tries are few a minute."""
        form = await self._form(request)
        source = self._desk.place(request)
        wait = await self._desk.read(partial(self._desk.throttle.admit, source))
        if wait:
            logger.warning("too many tries to log in", source=source)
            answer = self._ask(request, form.get("next", ""), f"Too many tries. Try again in {wait} s.", 429)
            answer.headers["Retry-After"] = str(wait)
            return answer
        cookie = self._desk.access.open(
            form.get("token", ""), form.get("name", ""), nonce=os.urandom(16), now=time.time()
        )
        if cookie is None:
            logger.warning("refused a login", source=source)
            return self._ask(request, form.get("next", ""), "This token is none of this dashboard’s.", 401)
        await self._desk.read(partial(self._desk.throttle.forget, source))
        session = self._desk.access.session(cookie, time.time())
        if session is not None:
            logger.info("logged in", by=session.name, may_order=session.may_order, source=source)
        answer = RedirectResponse(local_path(form.get("next", "")), 303)
        answer.headers["Set-Cookie"] = set_cookie(cookie, SESSION_SECONDS, secure=is_secure(request))
        return answer

    async def logout(self, request: Request) -> Response:
        """End the session in this browser."""
        await self._own_form(request)
        answer = RedirectResponse(url("login"), 303)
        for secure in (True, False):
            answer.headers.append("Set-Cookie", set_cookie("", 0, secure=secure))
        return answer

    async def confirm(self, request: Request) -> Response:
        """What a replay or discard would touch, before it is ordered."""
        self._may_order(request)
        kind = request.path_params["kind"]
        ids = tuple(request.query_params.getlist("id"))
        question = settled(asked(request.query_params, datetime.now(UTC)))
        self._check(self._order(request, kind, ids, question, time.time(), ""))
        touched = await self._desk.read(partial(self._touched, ids, question))
        return self._desk.page(request, "confirm.html", kind=kind, ids=ids, q=question, t=touched)

    async def move(self, request: Request) -> Response:
        """Order a replay or discard."""
        form = await self._own_form(request)
        self._may_order(request)
        ids = _ids(form)
        question = asked(form, datetime.now(UTC))
        if question.problems:
            raise Refused(400, "This filter cannot be understood", "Go back to the list of events and set it again.")
        try:
            seen_at = float(form.get("seen_at", ""))
        except ValueError:
            raise Refused(400, "The form is not complete", "Go back, and open the page before it again.") from None
        now = await self._desk.read(self._desk.orders.now)
        kind = request.path_params["kind"]
        return await self._give(
            request, self._order(request, kind, ids, question, min(seen_at, now), form.get("why", ""))
        )

    async def ask(self, request: Request) -> Response:
        """Order that the platform is asked: to send deliveries again, or for its list."""
        form = await self._own_form(request)
        self._may_order(request)
        kind = request.path_params["kind"]
        ids = _ids(form) if kind == "redeliver" else ()
        by = session_of(request).name
        return await self._give(request, Order(kind, by, time.time(), ids, agent=form.get("agent", "")))

    async def _give(self, request: Request, order: Order) -> Response:
        try:
            order_id = await self._desk.read(partial(self._desk.orders.give, order))
        except InvalidOrder as error:
            raise Refused(400, "This cannot be ordered", f"{error}.") from None
        except TooManyOrders as error:
            raise Refused(429, "Too many orders", f"{error}") from None
        wanted = "" if order.wanted is None else asdict(order.wanted)
        told = {"order": order_id, "kind": order.kind, "by": order.by, "ids": " ".join(order.ids[:_SHOWN_FIRST])}
        logger.info("ordered", **told, wanted=wanted, source=self._desk.place(request))
        return RedirectResponse(url("order", id=order_id), 303)

    def _touched(self, ids: tuple[str, ...], question: Asked) -> Touched:
        ledger, seen_at = self._desk.ledger, self._desk.orders.now()
        if ids:
            found = [event for event in (ledger.event(one) for one in ids) if event is not None]
            events = tuple(event for event in found if event.status in ("failed", "handled"))
            return Touched(events[:_SHOWN_FIRST], len(events), True, len(events), _by(events), seen_at)
        page = ledger.page(question.wanted, limit=SCAN_LIMIT)
        status = ledger.status()
        stored = status.dead if question.wanted.status == "failed" else status.kept
        events = page.events
        return Touched(events[:_SHOWN_FIRST], len(events), page.cursor is None, stored, _by(events), seen_at)

    def _order(
        self, request: Request, kind: str, ids: tuple[str, ...], question: Asked, seen_at: float, why: str
    ) -> Order:
        wanted = None if ids else question.wanted
        return Order(kind, session_of(request).name, seen_at, ids, wanted, why=why.strip()[:80])

    def _check(self, order: Order) -> None:
        try:
            order.checked()
        except InvalidOrder as error:
            raise Refused(400, "This cannot be ordered", f"{error}; at most {MAX_IDS} at a time.") from None

    def _may_order(self, request: Request) -> None:
        if not session_of(request).may_order:
            raise Refused(403, "You may look, not change", "Log in with the full token to replay or discard events.")

    async def _own_form(self, request: Request) -> QueryParams:
        form = await self._form(request)
        if not session_of(request).owns(form.get("csrf", "")):
            raise _foreign()
        return form

    async def _form(self, request: Request) -> QueryParams:
        if not is_same_origin(request.headers):
            raise _foreign()
        try:
            return await read_form(request)
        except BadForm:
            raise Refused(400, "The form did not arrive", "Go back and send it again.") from None

    def _ask(self, request: Request, next_: str, problem: str = "", status: int = 200) -> Response:
        return self._desk.page(request, "login.html", status, next=local_path(next_), problem=problem, root=ROOT)


def _ids(form: QueryParams) -> tuple[str, ...]:
    return tuple(one for text in form.getlist("ids") for one in text.split())


def _foreign() -> Refused:
    return Refused(403, "This form is not from this page", "Open the page again in this browser, and repeat it there.")


def _by(events: tuple[StoredEvent, ...]) -> dict[str, list[tuple[str, int]]]:
    handlers = [one.name for event in events for one in event.handlers if one.state == "dead" or not event.reason]
    return {
        "type": Counter(event.type for event in events).most_common(5),
        "handler": Counter(handlers).most_common(5),
        "reason": Counter(event.reason or event.status for event in events).most_common(5),
    }
