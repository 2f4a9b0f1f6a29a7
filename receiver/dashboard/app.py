"""The dashboard as an ASGI application: who may come in, where things are, and headers on every answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from receiver.connections import connect
from receiver.dashboard.access import Access
from receiver.dashboard.actions import Actions
from receiver.dashboard.live import Live
from receiver.dashboard.overview import Overviews
from receiver.dashboard.pages import Pages
from receiver.dashboard.pool import Busy, Pool
from receiver.dashboard.render import ROOT, STATIC, Templates, read_static, url
from receiver.dashboard.safety import HEADERS, session_cookie
from receiver.dashboard.throttle import LoginThrottle
from receiver.dashboard.views import Desk, Refused, session_of
from receiver.ledger import Ledger
from receiver.logs import get_logger
from receiver.orders import Orders
from receiver.settings import WebSettings

logger = get_logger()

REDIS_TIMEOUT: Final = 3.0
_AWAY: Final = Refused(
    503, "Redis cannot be reached", "Reload this page in a while. Webhooks are answered with 503 meanwhile."
)
_BUSY: Final = Refused(503, "Too much at once", "Reload this page in a moment.")

Endpoint = Callable[[Request], Awaitable[Response]]


class Dashboard:
    """Pages at `/dashboard`; mounted there."""

    def __init__(self, settings: WebSettings) -> None:
        connection = connect(settings, timeout=REDIS_TIMEOUT)
        ledger, pool, self._static = Ledger(connection, settings.layout), Pool(), read_static()
        overviews = Overviews(ledger, pool)
        self._access = Access(settings.dashboard_tokens, settings.dashboard_read_tokens)
        self._desk = Desk(
            access=self._access,
            ledger=ledger,
            orders=Orders(connection, settings.layout),
            throttle=LoginThrottle(connection, settings.layout),
            overviews=overviews,
            pool=pool,
            templates=Templates(self._static),
            proxies=settings.proxies,
        )
        self._live = Live(overviews)
        self._app = Starlette(routes=self._routes())
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                headers = {"Cache-Control": "no-store", **HEADERS}
                extra = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_safely)

    def let_go(self) -> None:
        """End the connections of open pages; others are still answered."""
        self._live.close()

    def close(self) -> None:
        """End, after the last answer."""
        self._desk.pool.close()

    def _routes(self) -> list[Route]:
        pages, actions = Pages(self._desk), Actions(self._desk)
        behind_login: dict[str, Endpoint] = {
            "/": pages.overview,
            "/events": pages.events,
            "/event": pages.event,
            "/sessions": pages.sessions,
            "/session": pages.session,
            "/handlers": pages.handlers,
            "/deliveries": pages.deliveries,
            "/orders": pages.orders,
            "/order": pages.order,
            "/live": self._watch,
        }
        return [
            Route("/static/{name}", self._file),
            Route("/login", self._answering(actions.login_page)),
            Route("/login", self._answering(actions.login), methods=["POST"]),
            Route("/logout", self._inside(actions.logout), methods=["POST"]),
            *(Route(path, self._inside(page)) for path, page in behind_login.items()),
            *(Route(f"/{kind}", self._inside(_with(kind, actions.confirm))) for kind in ("replay", "discard")),
            *(
                Route(f"/{kind}", self._inside(_with(kind, actions.move)), methods=["POST"])
                for kind in ("replay", "discard")
            ),
            *(
                Route(f"/{kind}", self._inside(_with(kind, actions.ask)), methods=["POST"])
                for kind in ("redeliver", "look")
            ),
            Route("/{rest:path}", self._inside(_nowhere)),
        ]

    def _inside(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint for those who have logged in; others are asked to."""

        async def guarded(request: Request) -> Response:
            session = self._access.session(session_cookie(request), time.time())
            if session is not None:
                request.state.session = session
                return await endpoint(request)
            if request.method != "GET" or request.url.path == url("live"):
                raise Refused(401, "You are not logged in", "Log in, and repeat what you wanted to do.")
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(url("login", next=path if path != f"{ROOT}/" else None), 303)

        return self._answering(guarded)

    def _answering(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint whose failures are pages that say what is wrong."""

        async def answering(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Refused as refused:
                return self._refuse(request, refused)
            except Busy:
                return self._refuse(request, _BUSY)
            except HTTPException:
                raise
            except (RedisError, OSError) as error:
                logger.warning("redis is not available", error=type(error).__name__)
                return self._refuse(request, _AWAY)

        return answering

    def _refuse(self, request: Request, refused: Refused) -> Response:
        return self._desk.page(request, "error.html", refused.status, title=refused.title, text=refused.text)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return Response(status_code=404)
        # The address changes with the content.
        return Response(
            self._static[name],
            media_type=STATIC[name],
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    async def _watch(self, request: Request) -> Response:
        if self._live.is_full:
            return Response(status_code=503)
        messages = self._live.messages(session_of(request).expires)
        return StreamingResponse(messages, media_type="text/event-stream")


def _with(kind: str, endpoint: Endpoint) -> Endpoint:
    async def called(request: Request) -> Response:
        request.path_params["kind"] = kind
        return await endpoint(request)

    return called


async def _nowhere(_request: Request) -> Response:
    raise Refused(404, "No such page", "Choose one above.")
