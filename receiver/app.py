"""The web application: the webhook endpoint, two health checks; where wanted, metrics and dashboard.

Never imports `receiver.envelope`, `receiver.keyring`, `receiver.client`, `workers`, PyNaCl or user code: a web
process that is broken into gives ciphertext and metadata only. An import contract and a test watch over that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from receiver.connections import connect, connect_async
from receiver.counts import Counts
from receiver.door import Door
from receiver.errors import QueueUnavailable
from receiver.inbox import Inbox, RedisInbox
from receiver.ingest import NoteUses, WebhookEndpoint
from receiver.logs import set_up_logs
from receiver.refusals import Refusals
from receiver.settings import WebSettings
from receiver.tracing import Tracing, start_tracing
from receiver.uses import UseCounts, Uses, names_of_secrets

if TYPE_CHECKING:
    from receiver.dashboard.app import Dashboard
    from receiver.metrics import Metrics

WEBHOOK_PATH: Final = "/webhooks/hiloop"
ACCEPT_TIMEOUT: Final = 2.0
READY_TIMEOUT: Final = 1.0


class ReceiverApp(Starlette):
    """Starlette, but for the one path that must be fast: webhooks go straight to their endpoint.

    Routing and Starlette's error handling would cost as much as verifying a request does. The endpoint answers its
    own errors, and what it does not expect ends in the server's own 500.
    """

    webhook: WebhookEndpoint
    counts: Counts
    door: Door
    metrics: Metrics | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event (ASGI 3)."""
        if scope["type"] == "http" and scope["path"] == WEBHOOK_PATH:
            await self.webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: WebSettings, inbox: Inbox, tracing: Tracing | None = None, note_uses: NoteUses | None = None
) -> ReceiverApp:
    """The ASGI application over an inbox; ``note_uses`` as in `WebhookEndpoint`."""

    async def healthy(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> Response:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await inbox.ping()
        except (QueueUnavailable, TimeoutError):
            return JSONResponse({"status": "unavailable", "reason": "Redis cannot be reached"}, status_code=503)
        return JSONResponse({"status": "ready"})

    app = ReceiverApp(routes=[Route("/healthz", healthy), Route("/readyz", ready)])
    if settings.metrics_tokens:
        from receiver.metrics import Metrics

        app.metrics = Metrics(
            connect(settings, timeout=ACCEPT_TIMEOUT, retries=0), settings.layout, settings.metrics_tokens
        )
        app.add_route("/metrics", app.metrics.answer)
    app.counts = Counts(inbox.count)
    refusals = Refusals(app.counts, proxies=settings.proxies, limit=settings.max_refusals)
    app.webhook = WebhookEndpoint(settings, inbox, refusals, tracing=tracing, note_uses=note_uses)
    app.door = Door(settings, refusals)
    return app


def open_inbox(settings: WebSettings) -> RedisInbox:
    """The inbox in the Redis that the settings name; connects when it is first used."""
    return RedisInbox(
        connect_async(settings, timeout=ACCEPT_TIMEOUT, patience=settings.durability.patience),
        settings.layout,
        timeout=ACCEPT_TIMEOUT + settings.durability.patience,
        dedup_window=settings.dedup_window,
        ordered=settings.ordered,
        max_pending=settings.max_pending,
        durability=settings.durability,
    )


def from_environment() -> ReceiverApp:
    """The application of one web process, set up from the environment; what uvicorn is told to load."""
    settings = WebSettings.from_environment(os.environ)
    set_up_logs(settings.log_level, settings.log_format)
    inbox = open_inbox(settings)
    tracing = start_tracing(os.environ, "web", settings.queue)
    tokens = names_of_secrets("token", settings.webhook_tokens)
    secrets = names_of_secrets("secret", settings.webhook_secrets)
    uses = UseCounts(Uses(tokens, secrets), inbox.note_uses)
    is_rotating = len(tokens) > 1 or len(secrets) > 1
    app = create_app(settings, inbox, tracing, uses.note if is_rotating else None)
    dashboard = _add_dashboard(app, settings) if settings.has_dashboard else None

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if dashboard is not None:
            _let_go_at_stop(dashboard)
        yield
        if dashboard is not None:
            dashboard.close()
        await app.counts.close()
        await uses.close()
        await inbox.close()
        if app.metrics is not None:
            app.metrics.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.stop)

    app.router.lifespan_context = lifespan
    return app


def _add_dashboard(app: Starlette, settings: WebSettings) -> Dashboard:
    # Imported here: a process without a dashboard starts as fast, and is as small, as if there were none.
    from receiver.dashboard.app import Dashboard

    async def to_overview(_request: Request) -> Response:
        return Response(status_code=308, headers={"Location": "/dashboard/"})

    dashboard = Dashboard(settings)
    app.router.routes += [Route("/dashboard", to_overview), Mount("/dashboard", dashboard)]
    return dashboard


def _let_go_at_stop(dashboard: Dashboard) -> None:
    """Have open pages let go of their connections at a stop: the server waits for all of these before it tells us."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        servers = signal.getsignal(signum)

        def stop(number: int, frame: FrameType | None, servers: object = servers) -> None:
            loop.call_soon_threadsafe(dashboard.let_go)
            if callable(servers):
                servers(number, frame)

        signal.signal(signum, stop)
