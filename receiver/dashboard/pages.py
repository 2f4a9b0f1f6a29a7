"""The pages that show something: overview, events, sessions, handlers, deliveries and orders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from receiver.attempts import HandlerCounts
from receiver.dashboard.filters import Asked, asked
from receiver.dashboard.series import PERIODS
from receiver.dashboard.views import REASONS, Desk, Refused
from receiver.ledger import EventPage, Ledger
from receiver.life import life_line
from receiver.noted import CATALOG_SECONDS, HandlerNote, PlatformNote
from receiver.stored import Filter, StoredEvent

_PAGE: Final = 50
_SESSIONS: Final = 200
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_LONGEST: Final = 512
# What one looks for comes first.
_STATUSES: Final = ("failed", "waiting", "running", "retrying", "handled")


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with events that are not done: how many wait and run, and what the first of them is."""

    id: str
    running: int
    waiting: int
    retrying: int
    first: StoredEvent


@dataclass(frozen=True, slots=True)
class HandlerRow:
    """A handler: what it matches (None if no worker has it any more), and what its attempts came to."""

    name: str
    note: HandlerNote | None
    hour: HandlerCounts
    total: HandlerCounts
    last_ran: float | None


class Pages:
    """Endpoints that change nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def overview(self, request: Request) -> Response:
        """How the whole is doing."""
        period = PERIODS.get(request.query_params.get("period", ""), PERIODS["1h"])
        now = await self._desk.overviews.get(period)
        return self._desk.page(request, "overview.html", o=now, periods=PERIODS.values())

    async def events(self, request: Request) -> Response:
        """Events by filter, a page at a time."""
        question = asked(request.query_params, datetime.now(UTC))
        cursor = request.query_params.get("cursor") or None
        try:
            page, sizes = await self._desk.read(partial(_list, self._desk.ledger, question, cursor))
        except ValueError:
            raise Refused(400, "No such page", "Go back to the first page of the list.") from None
        return self._desk.page(
            request,
            "events.html",
            q=question,
            page=page,
            cursor=cursor,
            sizes=sizes,
            statuses=_STATUSES,
            reasons=REASONS,
        )

    async def event(self, request: Request) -> Response:
        """One event: its life line, what is known of it, and its handlers; never its content."""
        event_id = request.query_params.get("id", "")
        if not _EVENT_ID.fullmatch(event_id):
            raise Refused(404, "No such event", "An event's id has 1 to 128 characters of A-Z a-z 0-9 _ . : -")
        found, known = await self._desk.read(partial(_look_up, self._desk.ledger, event_id))
        if found is None:
            text = (
                "It was accepted, and is not kept any more: HILOOP_KEEP_HANDLED says how long handled events are."
                if known
                else "It was never accepted here. What the platform has sent is under Deliveries."
            )
            raise Refused(404, "No such event", text)
        return self._desk.page(request, "event.html", e=found, life=life_line(found))

    async def sessions(self, request: Request) -> Response:
        """Sessions with events that are not done."""
        rows, more = await self._desk.read(partial(_sessions, self._desk.ledger))
        return self._desk.page(request, "sessions.html", rows=rows, more=more)

    async def session(self, request: Request) -> Response:
        """The lane of one session: what ran, what runs, and what waits behind what."""
        session = request.query_params.get("id", "").strip()[:_LONGEST]
        if not session:
            raise Refused(404, "No such session", "Give the id of a session.")
        length, lane, over = await self._desk.read(partial(_session, self._desk.ledger, session))
        return self._desk.page(request, "session.html", id=session, length=length, lane=lane, over=over)

    async def handlers(self, request: Request) -> Response:
        """Handlers: what they match, and how they are doing."""
        rows = await self._desk.read(partial(_handlers, self._desk.ledger))
        return self._desk.page(request, "handlers.html", rows=rows)

    async def deliveries(self, request: Request) -> Response:
        """The platform's side, as workers have fetched it."""
        status = request.query_params.get("status", "")
        notes, known = await self._desk.read(partial(_deliveries, self._desk.ledger))
        return self._desk.page(request, "deliveries.html", notes=notes, known=known, chosen=status)

    async def orders(self, request: Request) -> Response:
        """What was ordered, and what came of it."""
        given = await self._desk.read(partial(self._desk.orders.latest))
        return self._desk.page(request, "orders.html", orders=given)

    async def order(self, request: Request) -> Response:
        """One order and its progress."""
        state = await self._desk.read(partial(self._desk.orders.state, request.query_params.get("id", "")))
        if state is None:
            raise Refused(404, "No such order", "Orders are kept for a week.")
        workers = await self._desk.read(self._desk.ledger.workers)
        return self._desk.page(request, "order.html", s=state, workers=len(workers))


def _list(ledger: Ledger, question: Asked, cursor: str | None) -> tuple[EventPage, dict[str, int]]:
    status = ledger.status()
    sizes = {
        "failed": status.dead,
        "waiting": status.waiting,
        "running": status.in_flight,
        "retrying": status.retrying,
        "handled": status.kept,
    }
    return ledger.page(question.wanted, limit=_PAGE, cursor=cursor), sizes


def _look_up(ledger: Ledger, event_id: str) -> tuple[StoredEvent | None, bool]:
    found = ledger.event(event_id)
    return found, found is not None or ledger.is_known(event_id)


def _sessions(ledger: Ledger) -> tuple[list[SessionRow], bool]:
    pages = [ledger.page(Filter(status=status), limit=_SESSIONS) for status in ("running", "retrying", "waiting")]
    events = [event for page in pages for event in page.events if event.session]
    counts: dict[str, Counter[str]] = {}
    firsts: dict[str, StoredEvent] = {}
    for event in events:
        counts.setdefault(event.session, Counter())[event.status] += 1
        firsts.setdefault(event.session, event)
    rows = [
        SessionRow(id_, one["running"], one["waiting"], one["retrying"], firsts[id_]) for id_, one in counts.items()
    ]
    return rows, any(page.cursor for page in pages)


def _session(ledger: Ledger, session: str) -> tuple[int, list[StoredEvent], list[StoredEvent]]:
    length, lane = ledger.lane(session)
    over = [
        event
        for status in ("failed", "handled")
        for event in ledger.page(Filter(status=status, session=session), limit=_PAGE).events
    ]
    return length, lane, _latest_first(over)


def _latest_first(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    beginning = datetime.min.replace(tzinfo=UTC)
    return sorted(events, key=lambda event: event.accepted_at or beginning, reverse=True)


def _handlers(ledger: Ledger) -> list[HandlerRow]:
    noted = {name: HandlerNote.from_json(name, text) for name, text in ledger.catalog().items()}
    hour, total, seen = ledger.handlers(60), ledger.handlers(), ledger.handlers_seen()
    now = datetime.now(UTC).timestamp()
    current = {name: note for name, note in noted.items() if now - note.at < CATALOG_SECONDS}
    return [
        HandlerRow(
            name, current.get(name), hour.get(name, HandlerCounts()), total.get(name, HandlerCounts()), seen.get(name)
        )
        for name in sorted(current.keys() | total.keys() | hour.keys(), key=lambda name: (name not in current, name))
    ]


def _deliveries(ledger: Ledger) -> tuple[dict[str, PlatformNote], set[str]]:
    notes = {agent: PlatformNote.from_json(text) for agent, text in sorted(ledger.deliveries().items())}
    events = {one.event for note in notes.values() for one in note.deliveries if _EVENT_ID.fullmatch(one.event)}
    return notes, ledger.known(sorted(events))
