"""A real HTTP server that receives webhooks, keeps what came, and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from receiver.signature import verify_bearer, verify_signature


@dataclass
class Received:
    """One request."""

    headers: Message
    body: bytes
    complete: bool

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def verifies(self, token: str, secret: str) -> bool:
        signature, bearer = self.headers["X-Hiloop-Signature"], self.headers["Authorization"]
        signed = verify_signature([secret.encode()], self.body, signature.encode())
        return signed == 0 and verify_bearer([token.encode()], bearer.encode()) == 0


@dataclass
class Endpoint:
    """What came, in order; ``statuses`` are the coming answers, 202 after the last."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)  # cleared: answers wait for it
    received: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def take(self, request: Received) -> int:
        with self.arrived:
            self.received.append(request)
            self.arrived.notify_all()
            status = self.statuses.pop(0) if self.statuses else 202
        self.hold.wait(20)
        return status

    def wait_for(self, count: int, timeout: float = 10) -> list[Received]:
        deadline = time.monotonic() + timeout
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, deadline - time.monotonic()), (
                f"{len(self.received)} of {count} requests came"
            )
            return list(self.received)

    def types(self) -> list[str]:
        return [each.event["type"] for each in self.received]


@contextmanager
def serving() -> Iterator[Endpoint]:
    """An endpoint on a port of this machine."""
    endpoint = Endpoint()
    endpoint.hold.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            status = endpoint.take(Received(self.headers, body, len(body) == length))
            try:
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", endpoint.url)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True

        def log_message(self, *_args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the sandbox hangs up on purpose

    with Quiet(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/hooks"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.hold.set()
            server.shutdown()
            thread.join()
