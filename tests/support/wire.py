"""What a platform and a human would send: keys, sealed answers, and raw HTTP over a socket."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Final

from receiver.keyring import KeyPair
from receiver.signature import sign
from receiver.testing import sealed_response, signed_headers, webhook_body

TOKEN: Final = "token-of-the-tests"
OLD_TOKEN: Final = "token-before-the-rotation"
SECRET: Final = "whsec-of-the-tests"
OLD_SECRET: Final = "whsec-before-the-rotation"
API_KEY: Final = "hlp_" + "7e" * 32
AGENT: Final = KeyPair.from_api_key(API_KEY)
HUMAN: Final = KeyPair.from_private(bytes(range(1, 33)))
SESSION: Final = "3f2b8c1e-0000-4000-8000-0000000000aa"
WEBHOOK_PATH: Final = "/webhooks/hiloop"


def answer(
    value: Any, *, event_id: str | None = None, session_id: str = SESSION, agent: KeyPair = AGENT, **fields: Any
) -> bytes:
    """The body of a human's answer, sealed for the agent."""
    data = sealed_response(value, human=HUMAN, agent=agent, session_id=session_id)
    return webhook_body(data, session_id=session_id, event_id=event_id, **fields)


def signature(body: bytes, secret: str = SECRET) -> bytes:
    """The value of `X-Hiloop-Signature` for ``body``."""
    return sign(secret.encode(), body).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the socket."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The only header called ``name``; fails if there is none or more than one."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]


def connect(port: int, timeout: float = 10.0) -> socket.socket:
    """A connection to the web process on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read_reply(connection: socket.socket) -> Reply:
    """Read one reply; the connection stays open."""
    response = HTTPResponse(connection)
    response.begin()
    return Reply(response.status, tuple(response.getheaders()), response.read())


def request_head(headers: Iterable[tuple[str, str]], *, method: str = "POST", path: str = WEBHOOK_PATH) -> bytes:
    """The bytes of a request up to its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def exchange(port: int, raw: bytes) -> Reply:
    """Send raw bytes over a connection of their own and read one reply."""
    with connect(port) as connection:
        connection.sendall(raw)
        return read_reply(connection)


def post(
    port: int,
    body: bytes,
    *,
    token: str = TOKEN,
    secret: str = SECRET,
    change: Mapping[str, str | None] | None = None,
    method: str = "POST",
) -> Reply:
    """Send a webhook as the platform does; ``change`` replaces headers, or takes them away (None)."""
    headers: dict[str, str | None] = {
        **signed_headers(body, token=token, secret=secret),
        "Content-Length": str(len(body)),
        **(change or {}),
    }
    pairs = [(name, value) for name, value in headers.items() if value is not None]
    return exchange(port, request_head(pairs, method=method) + body)


def genuine(body: bytes, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The headers of a genuine webhook without a length, and ``more``."""
    return [*signed_headers(body, token=TOKEN, secret=SECRET).items(), *more]


def with_length(body: bytes, *more: tuple[str, str]) -> bytes:
    """A whole genuine request, with ``more`` headers."""
    return request_head(genuine(body, ("Content-Length", str(len(body))), *more)) + body


def chunked_head(body: bytes) -> bytes:
    """The head of a genuine request whose body comes in chunks."""
    return request_head(genuine(body, ("Transfer-Encoding", "chunked")))


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one is the end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def statuses_until_closed(connection: socket.socket) -> list[int]:
    """The statuses of all answers until the other side closes or resets the connection; fails if it does neither."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
