"""The README is true: its snippets run, its settings exist, its files are there."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from receiver.layout import DEAD_REASONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def block_with(text: str) -> str:
    found = [block for block in python_blocks() if text in block]
    assert len(found) == 1, text
    return found[0]


def run(code: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_handlers_register(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(block_with("async def deploy(event):"))
    shown = run("import handlers; from workers.registry import registry; print([h.name for h in registry])", tmp_path)
    assert shown.strip() == "['handlers.deploy', 'handlers.tidy']"


def test_the_handler_of_alerts_registers(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(block_with("async def page(alert)"))
    code = "import handlers; from workers.alerts import alert_handlers; print(list(alert_handlers.functions))"
    assert run(code, tmp_path).strip() == "['handlers.page']"


def test_the_client_asks(tmp_path: Path) -> None:
    code = block_with("def ask_for_approval")
    harness = textwrap.dedent("""
        import os
        from receiver.sandbox import LocalHiloop
        with LocalHiloop(auto="approve") as hiloop:
            os.environ.update(HILOOP_API_KEY=hiloop.api_key, HILOOP_BASE_URL=hiloop.url)
            print(ask_for_approval())
    """)
    assert run(code + harness, tmp_path).strip() == "approve"


def test_the_fixtures_work(tmp_path: Path) -> None:
    code = block_with("pytest_plugins")
    plugin, _, test = code.partition("\n\n")
    (tmp_path / "conftest.py").write_text(plugin)
    (tmp_path / "test_agent.py").write_text(test)
    run("import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '.']))", tmp_path)


def test_every_python_block_is_run_by_a_test_above() -> None:
    assert len(python_blocks()) == 4


def test_every_setting_that_is_read_is_in_the_table() -> None:
    source = "".join((ROOT / "receiver" / name).read_text("utf-8") for name in ("settings.py", "embedded.py"))
    read = set(re.findall(r'"((?:HILOOP_|REDIS_|WORKER_|WEB_)[A-Z_]+|PORT|HOST)"', source))
    table = set(re.findall(r"`([A-Z_]+)`", README))
    assert read - table == set()
    assert {name for name in table if name.startswith("HILOOP_")} - read == set()


def test_every_dead_letter_reason_is_named() -> None:
    for reason in DEAD_REASONS:
        assert f"`{reason}`" in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_linked_files_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\$ hiloop-receiver ([a-z]+)", README))))
def test_every_command_exists(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", command, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
