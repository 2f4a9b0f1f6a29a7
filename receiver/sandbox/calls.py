"""Call the sandbox's human and admin APIs over HTTP, and raise what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from receiver.sandbox.problems import Problem, Unreachable

_TIMEOUT: Final = 10.0  # seconds


class Caller:
    """An HTTP client for the sandbox at ``url``, for one thread.

    Its methods raise `Problem` for what the sandbox refuses and `Unreachable` where none answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A sandbox is on this machine: no proxy is asked to get there.
        self._client = httpx.Client(base_url=self.url, timeout=_TIMEOUT, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The JSON of the answer; None for an empty one."""
        with self._reached():
            answer = self._client.request(method, path, json=body, params=query)
        return _value(answer)

    def every(self, path: str, **query: str) -> Iterator[Any]:
        """All items of a list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.call("GET", path, **query, limit="100", cursor=cursor)
            yield from page["items"]
            cursor = page["nextCursor"]

    @contextmanager
    def notices(self, path: str, seconds: float) -> Iterator[Iterator[dict[str, Any]]]:
        """What the stream at ``path`` tells from here on: an iterator that ends after ``seconds``."""
        query = {"timeout": f"{max(0.0, seconds):.3f}"}
        with (
            self._reached(),
            self._client.stream("GET", path, params=query, timeout=seconds + _TIMEOUT) as answer,
        ):
            if answer.is_error:
                answer.read()
                _value(answer)
            lines = answer.iter_lines()
            next(lines, None)  # the stream's first line says that we are subscribed
            yield (json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:"))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(f"no sandbox answers at {self.url} ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise Unreachable(f"{self.url} is no address") from None


def _value(answer: httpx.Response) -> Any:
    try:
        value: Any = answer.json() if answer.content else None
        if answer.is_success:
            return value
        error = value["error"]
        raise Problem(answer.status_code, error["code"], error["message"], details=error.get("details", ()))
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"what answers at {answer.url.host} is no sandbox (status {answer.status_code})") from None
