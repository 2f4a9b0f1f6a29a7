"""What a person at a terminal meets: tables that fit, colours, watching, Ctrl-C, help and completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.support.commands import run
from tests.support.processes import ROOT
from tests.support.scripts import LAYOUT, Scripts
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until
from workers.cli import main

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def event_id(number: int) -> str:
    """As long as a real one."""
    return f"evt_01M8292TN8BTHX2VW7Z0J{number:05}"


@pytest.fixture
def env(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> dict[str, str]:
    """A command's environment; Redis is empty."""
    return {"REDIS_URL": redis_server.url}


def bury(scripts: Scripts, number: int) -> None:
    """Make dead letters."""
    scripts.accept(*(event_id(one) for one in range(number)))
    while claimed := scripts.advance(64).claimed:
        scripts.advance(closings=[one.closing("dead", reason="handler_error", error="ValueError") for one in claimed])


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_tables_fit_and_their_ids_can_be_copied(env: dict[str, str], scripts: Scripts, columns: int) -> None:
    bury(scripts, 2)
    with Terminal("events", "list", env=env, columns=columns) as terminal:
        assert terminal.wait() == 0
        lines = terminal.text.splitlines()
    assert max(len(line) for line in lines) <= columns
    assert {line.split()[0] for line in lines[1:]} == {event_id(0), event_id(1)}
    assert ("SESSION" in lines[0], "TYPE" in lines[0]) == (columns == 200, columns >= 80)
    assert "REASON" in lines[0]


def test_colours_are_for_terminals_and_not_under_no_color(env: dict[str, str], scripts: Scripts) -> None:
    bury(scripts, 1)
    commands = (["events", "list"], ["events", "show", "nobody"], ["status"])
    for command, coloured in zip(commands, (True, True, False), strict=True):
        with Terminal(*command, env=env, columns=200) as terminal:
            terminal.wait()
            assert bool(COLOUR.search(terminal.raw)) == coloured, command
        with Terminal(*command, env={**env, "NO_COLOR": "1"}, columns=200) as terminal:
            terminal.wait()
            assert not COLOUR.search(terminal.raw), command
        piped = run(*command, env=env)
        assert "\x1b" not in piped.out + piped.err


def test_status_is_watched_until_ctrl_c(env: dict[str, str], scripts: Scripts) -> None:
    with Terminal("status", "--watch", "--every", "50ms", env=env) as terminal:
        wait_until(lambda: re.search(r"waiting +0", terminal.text), 20)
        scripts.accept("evt_1", "evt_2")
        wait_until(lambda: re.search(r"waiting +2", terminal.text), 10, "it sees what has come")
        terminal.interrupt()
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text
        assert "\x1b[?25h" in terminal.raw, "the cursor is there again"


def test_status_is_watched_by_scripts(env: dict[str, str], scripts: Scripts) -> None:
    with Terminal("status", "--watch", "--every", "50ms", "--output", "json", env=env) as terminal:
        wait_until(lambda: terminal.text.count('"waiting": 0') > 1, 20)
        terminal.interrupt()
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text


def test_a_replay_that_was_broken_off_goes_on(env: dict[str, str], scripts: Scripts, redis_client: redis.Redis) -> None:
    total = 300
    bury(scripts, total)

    def dead() -> int:
        number: Any = redis_client.zcard(f"rq:failed:{LAYOUT.queue}")
        return int(number)

    with Terminal("events", "replay", "--all", "--yes", "--rate", "200", env=env) as terminal:
        wait_until(lambda: dead() < total - 20, 20, "some are back in line")
        terminal.interrupt()
        assert terminal.wait() == 1
        assert "the same command goes on" in terminal.text
        assert "Traceback" not in terminal.text
    left = dead()
    assert left > 0
    assert sorted(scripts.queue()) == [event_id(one) for one in range(total - left)], "those accepted first"
    again = run("events", "replay", "--all", "--yes", "--output", "json", env=env)
    assert (again.code, again.row["done"], dead()) == (0, left, 0)
    assert scripts.queue() == [event_id(one) for one in range(total)]


def test_ctrl_c_at_the_question_touches_nothing(env: dict[str, str], scripts: Scripts) -> None:
    bury(scripts, 2)
    with Terminal("events", "replay", "--all", env=env) as terminal:
        wait_until(lambda: "[y/N]" in terminal.text, 20)
        terminal.interrupt()
        assert terminal.wait() == 1
        assert "Aborted" in terminal.text
    assert not scripts.queue()


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """All commands with their help."""
    context = click.Context(command, info_name=" ".join(("hiloop-receiver", *path)))
    found = [(path, command.get_help(context))]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found += every_command(child, (*path, name))
    return found


def test_every_help_has_an_example_and_fits() -> None:
    commands = every_command(main)
    assert len(commands) > 30
    for path, text in commands:
        _, said, examples = text.partition("Example")
        assert said, path
        assert " ".join(("hiloop-receiver", *path[:1])) in examples, path
        assert max(len(line) for line in text.splitlines()) <= 120, path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ev", "events"),
        ("events re", "replay"),
        ("events list --status fa", "failed"),
        ("listen --no-w", "--no-worker"),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: str) -> None:
    program = tmp_path / "hiloop-receiver"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m workers.cli "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(_HILOOP_RECEIVER_COMPLETE=bash_source hiloop-receiver)"
        COMP_WORDS=(hiloop-receiver {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _hiloop_receiver_completion hiloop-receiver
        echo "${{COMPREPLY[@]}}"
    """
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert offered in done.stdout.split(), done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str) -> None:
    told = run(env={"_HILOOP_RECEIVER_COMPLETE": f"{shell}_source"}).out
    assert "_hiloop_receiver_completion" in told
