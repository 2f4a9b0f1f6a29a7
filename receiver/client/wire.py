"""What both edges share of httpx: how it is set up, and every error of it as one of ours."""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from receiver import __version__
from receiver.client.caller import Caller, is_loopback
from receiver.client.exchange import Answer, Request
from receiver.errors import ConnectionFailed, HiloopError, MalformedAnswer, TimedOut

# No answer of the API comes near this size, in bytes; a larger one would only fill the memory.
MAX_ANSWER: Final = 32 * 1024 * 1024
# Seconds for the parts of a request that do not depend on how long the API thinks.
CONNECT_TIMEOUT: Final = 10.0

# Everything that httpx raises for a request: `HTTPError` and the three that are none.
HTTPX_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)


def options(caller: Caller) -> dict[str, Any]:
    """The arguments for httpx's clients."""
    # A proxy of the environment would be handed the API key in the clear on its way to a loopback address.
    return {
        "base_url": caller.base_url,
        "headers": {"X-API-Key": caller.api_key, "User-Agent": f"hiloop-receiver/{__version__}"},
        "follow_redirects": False,
        "trust_env": not is_loopback(urlsplit(caller.base_url).hostname or ""),
    }


def arguments(request: Request) -> dict[str, Any]:
    """The arguments for httpx's `stream`."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query,
        "headers": request.headers,
        "content": request.body,
        "timeout": httpx.Timeout(request.timeout, connect=min(request.timeout, CONNECT_TIMEOUT)),
    }


class Body:
    """Collects an answer's body. httpx limits each read; here are the limits of all of them together."""

    def __init__(self, request: Request) -> None:
        self._deadline = time.monotonic() + request.timeout
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next part. Raises `MalformedAnswer` if it is too much, `TimedOut` if it takes too long."""
        self._data += chunk
        if len(self._data) > MAX_ANSWER:
            raise MalformedAnswer(f"the API's answer is larger than {MAX_ANSWER} bytes")
        if time.monotonic() > self._deadline:
            raise TimedOut("the API's answer took too long to arrive")

    def answer(self, response: httpx.Response) -> Answer:
        """The answer, once the body is complete."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(self._data))


def translated(error: Exception, base_url: str) -> HiloopError:
    """The error of ours for one of httpx's, whose own message may quote headers."""
    kind = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{base_url} did not answer in time ({kind})")
    if isinstance(error, httpx.NetworkError | httpx.ProxyError | httpx.RemoteProtocolError):
        hint = "is HILOOP_BASE_URL right, and is it reachable from here?"
        return ConnectionFailed(f"{base_url} cannot be reached, or broke off ({kind})", hint=hint)
    if isinstance(error, httpx.DecodingError):
        return MalformedAnswer(f"the answer of {base_url} cannot be decoded ({kind})")
    return HiloopError(f"the request could not be made ({kind})", code="request_failed")
