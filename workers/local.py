"""A receiver on this machine for a `with` block: Redis, web and worker beside a local Hiloop, for demo and tests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from receiver.app import WEBHOOK_PATH
from receiver.embedded import EmbeddedRedis, free_port
from receiver.errors import LocalServerError
from receiver.guard import Guard
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.sandbox.harness import LocalHiloop

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
_OURS: Final = ("HILOOP_", "WORKER_", "WEB_")


class LocalReceiver:
    """Redis, the web process and a worker, which take the webhooks of ``hiloop``, while the `with` block runs.

    ``handlers`` are modules, found from ``folder`` (default: the current one). ``agent`` is whose key is published at
    the start. ``settings`` are further ones for both. ``read`` gets each line that the two processes write, in threads.
    Raises `LocalServerError` if one of them does not start, with what it has written.
    """

    def __init__(
        self,
        hiloop: LocalHiloop,
        *,
        handlers: str = "handlers",
        agent: str = "",
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
        read: Callable[[str], None] | None = None,
    ) -> None:
        self._hiloop = hiloop
        self._worker_settings = {"HILOOP_HANDLERS": handlers, "HILOOP_AGENT_NAME": agent}
        self._settings = settings or {}
        self._folder = folder
        self._read = read
        self._lines: list[str] = []
        self._port = free_port()
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What the two processes have written so far."""
        return "".join(f"{line}\n" for line in self._lines)

    def __enter__(self) -> Self:
        """Start; both processes are ready when this returns."""
        with ExitStack() as stack:
            redis = stack.enter_context(EmbeddedRedis())
            webhook = self._hiloop.admin.add_webhook(f"{self.url}{WEBHOOK_PATH}")
            both = {
                # Settings of a real receiver that stand in the user's environment must not reach this one.
                **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
                "REDIS_URL": redis.url,
                "HOST": "127.0.0.1",
                "PORT": str(self._port),
                "HILOOP_WEBHOOK_TOKEN": webhook["token"],
                "HILOOP_WEBHOOK_SECRET": webhook["secret"],
                **self._settings,
            }
            keys = {"HILOOP_API_KEY": self._hiloop.api_key, "HILOOP_BASE_URL": self._hiloop.url}
            web = stack.enter_context(self._process("web", both))
            worker = stack.enter_context(self._process("worker", {**both, **keys, **self._worker_settings}))
            self._wait_for(web, self._web_answers)
            ledger = Ledger(stack.enter_context(redis.client()), Layout())
            self._wait_for(worker, lambda: bool(ledger.workers()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop worker, web and Redis, in this order."""
        self._stack.close()

    @contextmanager
    def _process(self, command: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(  # noqa: S603  # this package's own command line
            [sys.executable, "-m", "workers.cli", command],
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process, which stops them in order
        )
        guard = Guard(process.pid)
        reader = threading.Thread(target=self._read_all, args=(process,), daemon=True)
        reader.start()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
            guard.release()
            reader.join(1)

    def _read_all(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101  # it was started with a pipe
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line.rstrip("\n"))
                if self._read is not None:
                    self._read(self._lines[-1])

    def _web_answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _wait_for(self, process: subprocess.Popen[str], is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalServerError(f"the receiver did not start:\n{self.log}")
            time.sleep(0.02)
