"""What the pages have in common: who looks, what is read for them, and how an answer is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from receiver.dashboard.access import Access, Session
from receiver.dashboard.overview import Overviews
from receiver.dashboard.pool import Pool
from receiver.dashboard.render import Templates
from receiver.dashboard.throttle import LoginThrottle, place_of
from receiver.ledger import Ledger
from receiver.orders import Orders

_Result = TypeVar("_Result")

REASONS: Final = (
    "handler_error", "timeout", "no_handler", "unknown_key", "bad_envelope", "bad_ciphertext", "bad_event",
    "unverifiable", "untrusted_sender", "worker_lost", "stopped", "not_an_event", "internal_error",
)  # fmt: skip


class Refused(Exception):
    """A request that is answered with a page that says why."""

    def __init__(self, status: int, title: str, text: str) -> None:
        self.status = status
        self.title = title
        self.text = text
        super().__init__(title)


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the pages work with."""

    access: Access
    ledger: Ledger
    orders: Orders
    throttle: LoginThrottle
    overviews: Overviews
    pool: Pool
    templates: Templates
    proxies: int | None

    async def read(self, call: Callable[[], _Result]) -> _Result:
        """What a blocking call gives, made in a thread of the dashboard's. Raises `Busy`, `redis.RedisError`."""
        return await self.pool.run(call)

    def place(self, request: Request) -> str:
        """From where somebody asks."""
        peer = request.client.host if request.client else ""
        return place_of(peer, ",".join(request.headers.getlist("x-forwarded-for")), self.proxies)

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> Response:
        """A page for whoever asks."""
        session: Session | None = getattr(request.state, "session", None)
        shown = self.templates.render(name, session=session, here=request.url.path, now=datetime.now(UTC), **values)
        return HTMLResponse(shown, status)


def session_of(request: Request) -> Session:
    """Who asks; only for pages behind the login."""
    found: Session = request.state.session
    return found
