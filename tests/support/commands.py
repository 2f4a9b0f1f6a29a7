"""Run a command of `hiloop-receiver` as a person or a script does: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.processes import ROOT
from tests.support.wire import API_KEY


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """What it printed with `--output json`: one object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> Any:
        """The only object it printed."""
        (row,) = self.rows
        return row


def run(*arguments: str, env: Mapping[str, str], stdin: bytes = b"", timeout: float = 60) -> Ended:
    """Run a command to its end, with nothing in its environment but what is given."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        env={**keep, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **env},
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    out, err = ended.stdout.decode(), ended.stderr.decode()
    assert "Traceback" not in err, err
    assert API_KEY not in out + err
    return Ended(ended.returncode, out, err)
