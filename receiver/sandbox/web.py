"""What all endpoints share: reading a body, answering errors as JSON, paging, and the headers of every answer."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.errors import InvalidEvent
from receiver.events import parse_object
from receiver.sandbox.fields import Fields
from receiver.sandbox.ids import new_id
from receiver.sandbox.problems import Problem, invalid

logger = logging.getLogger(__name__)

# A webhook has at most 1 MiB; this leaves room for what is put around a request's ciphertext.
MAX_BODY: Final = 1_000_000
MAX_PAGE: Final = 100
_PAGE: Final = 50
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Endpoint = Callable[[Request], Awaitable[Response]]


class Identified(Protocol):
    """What can be listed in pages."""

    @property
    def id(self) -> str:
        """Unique in its list."""


Listed = TypeVar("Listed", bound=Identified)


def answer(body: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body, separators=(",", ":"), ensure_ascii=False), status, media_type="application/json")


async def read_fields(request: Request) -> Fields:
    """The JSON object in the body of ``request``; an absent body is an empty one.

    Raises `Problem`: 413 if it is too large, 415 if it is not JSON by its content type, 400 if it is none.
    """
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise Problem(413, "payload_too_large", f"the body has more than {MAX_BODY} bytes")
    except ClientDisconnect:
        raise Problem(400, "incomplete_body", "the body has not arrived in full") from None
    if not body:
        return Fields({})
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "unsupported_media_type", "the body must be application/json")
    try:
        return Fields(parse_object(body))
    except InvalidEvent as error:
        raise Problem(400, "invalid_json", str(error)) from None


def page(request: Request, items: Sequence[Listed], show: Callable[[Listed], Any]) -> Response:
    """The part of ``items`` that ``limit`` and ``cursor`` ask for: ``{"items": […], "nextCursor": …}``.

    A cursor names the last item of a page, so that pages stay right while items are added.
    """
    limit = whole_number(request, "limit", default=_PAGE, low=1, high=MAX_PAGE)
    start = 0
    cursor = request.query_params.get("cursor")
    if cursor:
        last = _last_of(cursor)
        start = next((index for index, each in enumerate(items, 1) if each.id == last), 0)
        if not start:
            raise invalid([{"field": "cursor", "problem": "is none of this list"}])
    chosen = items[start : start + limit]
    more = len(items) > start + limit
    return answer({"items": [show(each) for each in chosen], "nextCursor": _cursor(chosen[-1].id) if more else None})


def whole(items: Sequence[Any]) -> Response:
    """A list that is never long enough for pages."""
    return answer({"items": list(items), "nextCursor": None})


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """The query parameter ``name``. Raises `Problem` (422) if it is no whole number from ``low`` to ``high``."""
    text = request.query_params.get(name, str(default))
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if not low <= number <= high:
        raise invalid([{"field": name, "problem": f"must be a whole number from {low} to {high}"}])
    return number


def seconds(request: Request, name: str, *, default: float, high: float) -> float:
    """The query parameter ``name``. Raises `Problem` (422) if it is no number of seconds from 0 to ``high``."""
    text = request.query_params.get(name)
    if text is None:
        return default
    number = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else -1.0
    if not 0 <= number <= high:
        raise invalid([{"field": name, "problem": f"must be a number of seconds from 0 to {high:g}"}])
    return number


def _cursor(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def _last_of(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


async def on_problem(_request: Request, error: Exception) -> Response:
    """Answer what has been refused."""
    if not isinstance(error, Problem):
        raise TypeError(type(error))
    response = answer(error.as_json(), error.status)
    response.headers.update(error.headers)
    return response


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses: an unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise TypeError(type(error))
    code = error.detail.lower().replace(" ", "_")
    problem = Problem(error.status_code, code, error.detail, headers=error.headers)
    return await on_problem(_request, problem)


async def on_failure(_request: Request, error: Exception) -> Response:
    """Answer a fault of the sandbox itself, and log its kind."""
    logger.error("the sandbox has failed: %s", type(error).__name__)
    return await on_problem(_request, Problem(500, "internal_error", "the sandbox has failed; its log says how"))


class EveryAnswer:
    """Middleware: gives every answer an `X-Request-Id` and the headers that keep browsers strict."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete the headers of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = new_id("req_")
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, complete)
