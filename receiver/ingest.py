"""The webhook endpoint: request → verify → accept → status.

An ASGI application rather than a request/response function, since the body must be counted while it streams in, and
because it costs a third less. Everything is verified over the raw bytes before anything is parsed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.types import Receive, Scope, Send

from receiver.bodies import Bodies, Disconnected
from receiver.errors import (
    Headers,
    MethodNotAllowed,
    RequestError,
    StaleEvent,
    Unauthorized,
    UnsupportedMediaType,
)
from receiver.events import Event
from receiver.inbox import Accepted, Inbox
from receiver.logs import get_logger
from receiver.refusals import Refusals
from receiver.settings import WebSettings
from receiver.signature import verify_bearer, verify_signature
from receiver.tracing import Step, Tracing
from receiver.uses import names_of_secrets

logger = get_logger()

_STATUS: Final = {Accepted.NEW: 202, Accepted.DUPLICATE: 200}
NoteUses = Callable[[Iterable[str]], None]
_UNAUTHORIZED: Final = "the bearer token or the signature is missing or wrong"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WebhookEndpoint:
    """Answers `POST /webhooks/hiloop` as the wire contract's table says.

    ``note_uses`` is told which token and which secret a good request had.
    """

    def __init__(
        self,
        settings: WebSettings,
        inbox: Inbox,
        refusals: Refusals,
        *,
        clock: Callable[[], datetime] = _utc_now,
        tracing: Tracing | None = None,
        note_uses: NoteUses | None = None,
    ) -> None:
        self._settings = settings
        self._note_uses = note_uses
        self._tokens = names_of_secrets("token", settings.webhook_tokens)
        self._secrets = names_of_secrets("secret", settings.webhook_secrets)
        self._inbox = inbox
        self._refusals = refusals
        self._clock = clock
        self._tracing = tracing
        self._window = timedelta(seconds=settings.dedup_window)
        self._bodies = Bodies(settings)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI 3)."""
        self._running += 1
        try:
            status, body = await self._answer(scope, receive)
            headers: Headers = ()
        except RequestError as error:
            self._refusals.note(error, self._refusals.source(scope["client"], scope["headers"]))
            status, body, headers = error.status, error_body(error), error.headers
        except Disconnected:
            self._refusals.note_disconnect()
            return
        finally:
            self._running -= 1
        await _respond(send, status, body, headers)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        self._refusals.admit(scope["client"], scope["headers"])
        if scope["method"] != "POST":
            raise MethodNotAllowed("send webhooks with POST")
        received = time.perf_counter()
        headers = _single_headers(scope["headers"])
        body = await self._read_body(headers, receive)
        signature = self._verify(headers, body)
        event = Event.from_bytes(body)
        verified = time.perf_counter()
        if event.created_at is not None and self._clock() - event.created_at > self._window:
            raise StaleEvent("the event is older than the deduplication window")
        step = self._begin(event, len(body), verified - received, headers)
        accepted = await self._accept(event, body, signature, step)
        logger.info(
            accepted.value,
            event_id=event.id,
            type=event.type,
            session_id=event.session_id,
            agent=event.agent_name,
            delivery_id=event.delivery_id,
            bytes=len(body),
            verified_ms=(verified - received) * 1000,
            queued_ms=(time.perf_counter() - verified) * 1000,
            trace_id=step.trace_id if step else None,
        )
        return _STATUS[accepted], b'{"status":"%s","id":"%s"}' % (accepted.value.encode(), event.id.encode())

    def _begin(self, event: Event, size: int, seconds: float, headers: dict[bytes, bytes]) -> Step | None:
        if self._tracing is None:
            return None
        sender = headers.get(b"traceparent", b"")
        return self._tracing.accepting(event, size=size, seconds=seconds, sender=sender)

    async def _accept(self, event: Event, body: bytes, signature: bytes, step: Step | None) -> Accepted:
        if step is None:
            return await self._inbox.accept(event, body, signature)
        try:
            accepted = await self._inbox.accept(event, body, signature, step.traceparent)
        except BaseException as error:
            step.end("refused", type(error).__name__)
            raise
        step.end(accepted.value)
        return accepted

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise UnsupportedMediaType("the content type must be application/json")
        if b"content-encoding" in headers:
            raise UnsupportedMediaType("the body must not be compressed")
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > self._settings.max_body:
            raise self._bodies.too_large()
        if self._running > self._settings.max_requests:
            self._bodies.make_room()
        return await self._bodies.read(receive)

    def _verify(self, headers: dict[bytes, bytes], body: bytes) -> bytes:
        """Return the signature header. Both checks always run: the time taken does not tell which one failed."""
        signature = headers.get(b"x-hiloop-signature", b"")
        token = verify_bearer(self._settings.webhook_tokens, headers.get(b"authorization", b""))
        secret = verify_signature(self._settings.webhook_secrets, body, signature)
        if token is None or secret is None:
            raise Unauthorized(_UNAUTHORIZED, "bad_token" if token is None else "bad_signature")
        if self._note_uses is not None:
            self._note_uses((self._tokens[token], self._secrets[secret]))
        return signature


def _single_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name; one that is there twice is as good as none, so its value is empty."""
    single: dict[bytes, bytes] = {}
    for name, value in raw:
        single[name] = b"" if name in single else value
    return single


def error_body(error: RequestError) -> bytes:
    """What a refused sender is told, as JSON."""
    return json.dumps({"error": {"code": error.code, "message": str(error)}}).encode()


async def _respond(send: Send, status: int, body: bytes, extra: Headers) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
