"""A chat on this machine that takes alerts, and what handlers of tests have noted of theirs."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Like Slack's, the address is a secret.
SECRET_PATH = "/services/T000/canary-alert-token"


class Chat:
    """Takes alerts while it is entered; ``status`` is what it answers. ``tries`` counts requests, ``bodies`` holds
    those that it took.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.tries = 0
        self.status = 200
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == SECRET_PATH
                assert self.headers["Content-Type"] == "application/json"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = chat.status
                self.send_response(status)
                self.end_headers()
                if status == 200:
                    chat.bodies.append(body)
                chat.tries += 1

            def log_message(self, *_arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}{SECRET_PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def told(self) -> list[tuple[str, str]]:
        """Kind and state of each alert taken."""
        return [(body["alert"]["kind"], body["alert"]["state"]) for body in self.bodies]


def noted(folder: Path) -> list[tuple[str, str, bool]]:
    """What handlers of alerts have noted: their name, the kind, whether it is resolved."""
    path = folder / "alerts"
    if not path.exists():
        return []
    return [(name, kind, resolved) for name, kind, resolved in map(json.loads, path.read_text().splitlines())]
