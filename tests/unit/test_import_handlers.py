"""What a user reads when a module of handlers cannot be used: what is wrong, how to mend it, and no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "postgres://user:password@host"
IMPORT = """
from receiver.errors import ConfigurationError
from receiver.settings import WorkerSettings
from workers.run import import_handlers
try:
    print(len(import_handlers(WorkerSettings(handlers=("mine",)))))
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from workers import on\n@on()\ndef handle(event): ...", "1"),
        (f"raise ValueError({SECRET!r})", "ValueError at mine.py:1 in <module>"),
        ("import nowhere_to_be_found", "no module nowhere_to_be_found imported by mine"),
        (None, "no module mine in this folder or installed"),
        ("", "registers no handler"),
        ("from workers import on\n@on\ndef handle(event): ...", "TypeError"),
    ],
)
def test_what_is_told(tmp_path: Path, source: str | None, told: str) -> None:
    if source is not None:
        (tmp_path / "mine.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    assert SECRET not in done.stdout + done.stderr
