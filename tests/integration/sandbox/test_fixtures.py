"""The fixtures work in users' own tests, by plugin name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USERS_TEST = """
import httpx


def test_loop(hiloop, human):
    assert hiloop.human is human
    assert httpx.get(f"{hiloop.url}/healthz", trust_env=False).json()["status"] == "ok"
    assert human.sessions() == []
"""


def test_they_are_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pytest",
        "-q",
        "-p",
        "receiver.sandbox.fixtures",
        "-p",
        "no:cacheprovider",
    ]
    root = str(Path(__file__).parents[3])
    result = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": root}, cwd=tmp_path
    )
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
