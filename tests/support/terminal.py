"""A command in a terminal of its own: what a person sees, and keys that a person presses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.support.processes import ROOT

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command of `hiloop-receiver` in a pseudo-terminal of ``columns`` while the `with` block does."""

    def __init__(self, *arguments: str, env: Mapping[str, str], columns: int = 80) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", *arguments],
            env={**keep, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONWARNINGS": "error", **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def raw(self) -> str:
        """All that was written, with its escape sequences."""
        return self._shown.decode(errors="replace")

    @property
    def text(self) -> str:
        """The same without them."""
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout: float = 20) -> int:
        """Wait for its end; returns its exit code."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # Linux's way to say that nobody holds the other end any more
                return
            if not chunk:
                return
            self._shown += chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        os.close(self._ours)
