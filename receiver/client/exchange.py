"""One call of the API without I/O: build the request, read the answer, decide about retries. Pure.

Everything the client does is a generator that yields steps and gets their results: a `Request` gives an
`Answer` or has a `HiloopError` thrown in, a `Pause` gives nothing. The edges in `sync_edge` and `async_edge`
only take steps.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from receiver.client.caller import Caller
from receiver.client.retries import Retries
from receiver.client.routes import Route
from receiver.errors import (
    AuthenticationFailed,
    HiloopError,
    InvalidEvent,
    MalformedAnswer,
    NotFound,
    RateLimited,
    TimedOut,
    ValidationFailed,
)
from receiver.events import parse_object

T = TypeVar("T")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send; ``timeout`` is the seconds until the whole answer must be here."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


# What a call is: a blocking client returns its T, an asynchronous one an awaitable of T.
Call = Generator[Request | Pause, Any, T]

_ERRORS: Final[Mapping[int, type[HiloopError]]] = {
    400: ValidationFailed,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    408: TimedOut,
    413: ValidationFailed,
    422: ValidationFailed,
    429: RateLimited,
}
_HINTS: Final[Mapping[int, str]] = {
    401: "check HILOOP_API_KEY: the key is unknown or revoked",
    403: "this key may not do that; agents act with their own hlp_ key",
    404: "check the id, and that this agent takes part in the session",
    429: "call less often, or ask for a higher limit",
}
_REDIRECT_HINT: Final = "redirects are not followed, since they would carry the API key along; correct HILOOP_BASE_URL"
_API_KEY: Final = re.compile(r"hlp_\w+")
_MAX_MESSAGE: Final = 500


def exchange(
    caller: Caller,
    route: Route,
    *,
    ids: Mapping[str, str] | None = None,
    query: Mapping[str, str | int | None] | None = None,
    body: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    retries: Retries | None = None,
) -> Call[dict[str, Any]]:
    """Call ``route`` and return the JSON object it answers (empty for 204).

    Tries again as ``retries`` (or the caller's) says; a POST carries one `Idempotency-Key` through all its
    tries, so that it takes effect once. Raises `HiloopError`.
    """
    headers = {"X-Hiloop": caller.name}
    if route.method == "POST":
        headers["Idempotency-Key"] = str(uuid.uuid4())
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(body, separators=(",", ":")).encode()
    request = Request(
        route.method,
        route.path(**(ids or {})),
        {name: str(value) for name, value in (query or {}).items() if value is not None},
        headers,
        content,
        timeout or caller.timeout,
    )
    policy = retries or caller.retries
    attempt = 1
    while True:
        try:
            answer: Answer = yield request
            return read(answer)
        except HiloopError as error:
            pause = policy.pause(error, attempt, caller.random)
            if pause is None:
                raise
            _logger.info("%s %s: %s, again in %.1f s", route.method, request.path, error.code, pause)
        yield Pause(pause)
        attempt += 1


def read(answer: Answer) -> dict[str, Any]:
    """The JSON object of a successful answer. Raises the `HiloopError` that any other answer stands for."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    if answer.status == 204:
        return {}
    try:
        return parse_object(answer.body)
    except InvalidEvent as problem:
        raise MalformedAnswer(
            f"the API's answer cannot be read: {problem}",
            status=answer.status,
            request_id=_request_id(answer),
            hint="is HILOOP_BASE_URL the address of Hiloop's API?",
        ) from None


def failure(answer: Answer) -> HiloopError:
    """The error that an unsuccessful ``answer`` stands for; its texts are shortened and free of API keys."""
    try:
        told = parse_object(answer.body).get("error")
    except InvalidEvent:
        told = None
    error = told if isinstance(told, dict) else {}
    status = answer.status
    hint = _REDIRECT_HINT if 300 <= status < 400 else _HINTS.get(status)
    return _ERRORS.get(status, HiloopError)(
        _clean(error.get("message")) or f"the API answered with status {status}",
        status=status,
        code=_clean(error.get("code")),
        request_id=_request_id(answer),
        hint=hint,
        retry_after=_retry_after(answer.headers),
    )


def _clean(told: Any) -> str | None:
    # Texts of others go to terminals and logs: nothing secret, unprintable or endless may travel in them.
    if not isinstance(told, str):
        return None
    shown = "".join(char if char.isprintable() else " " for char in told[:_MAX_MESSAGE])
    return _API_KEY.sub("hlp_…", shown).strip() or None


def _request_id(answer: Answer) -> str | None:
    return _clean(answer.headers.get("x-request-id"))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    # RFC 9110, section 10.2.3: seconds or a date. The answer's own Date makes it a distance, whatever our
    # clock says.
    told = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", told):
        return float(told)
    try:
        distance = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(distance.total_seconds(), 0.0)
