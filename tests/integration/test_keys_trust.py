"""`keys trust`: pins the humans of a session after a look at their fingerprints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from receiver.client import HiloopClient
from receiver.sandbox.harness import LocalHiloop
from receiver.senders import TrustedSenders, fingerprint
from tests.support.commands import run
from tests.support.processes import ROOT
from tests.support.wire import API_KEY
from workers.commands.keys import _safe_name


@pytest.fixture(scope="module")
def hiloop() -> Iterator[LocalHiloop]:
    with LocalHiloop(api_key=API_KEY) as hiloop:
        with HiloopClient(API_KEY, "deploy-bot", base_url=hiloop.url) as client:
            client.create_session(title="Deploy?")
        yield hiloop


@pytest.fixture
def env(hiloop: LocalHiloop) -> dict[str, str]:
    return {"HILOOP_API_KEY": API_KEY, "HILOOP_BASE_URL": hiloop.url, "HILOOP_AGENT_NAME": "deploy-bot"}


def test_everybody_in_the_latest_session(hiloop: LocalHiloop, env: dict[str, str]) -> None:
    row = run("keys", "trust", "--yes", "--output", "json", env=env).row
    (sender,) = TrustedSenders.parse(row["HILOOP_TRUSTED_SENDERS"])
    assert (sender.key_id, sender.public_key) == (hiloop.human.pair.key_id, hiloop.human.pair.public_key)
    told = {"name": sender.name, "key_id": sender.key_id, "fingerprint": fingerprint(sender.key_id), "new": True}
    assert row["senders"] == [told]


def test_what_is_printed_can_be_pasted_into_a_shell(env: dict[str, str]) -> None:
    ended = run("keys", "trust", "--yes", env=env)
    assert "keys new" in ended.err, "with the key that the platform can derive nothing would be proven"
    printed = ended.out
    shell = subprocess.run(
        ["sh", "-c", f'{printed}\nprintf %s "$HILOOP_TRUSTED_SENDERS"'], capture_output=True, text=True, check=True
    )
    assert len(TrustedSenders.parse(shell.stdout)) == 1


def test_who_is_trusted_already_stays_and_is_not_asked_about(hiloop: LocalHiloop, env: dict[str, str]) -> None:
    known = f"{'0' * 32} = Ben, {hiloop.human.pair.key_id} = Ada"
    ended = run("keys", "trust", "--output", "json", env={**env, "HILOOP_TRUSTED_SENDERS": known})
    assert [(one["name"], one["new"]) for one in ended.row["senders"]] == [("Ben", False), ("Ada", False)]


@pytest.mark.parametrize(
    ("arguments", "change", "code", "words"),
    [
        ([], {}, 2, "Nobody is there to compare"),
        (["--yes", "no-such-session"], {}, 3, "not_found"),
        (["--yes"], {"HILOOP_AGENT_NAME": "another-bot"}, 3, "no session"),
        (["--yes"], {"HILOOP_TRUSTED_SENDERS": "Ada"}, 2, "HILOOP_TRUSTED_SENDERS has an entry (number 1)"),
    ],
)
def test_what_cannot_work(
    env: dict[str, str], arguments: list[str], change: Mapping[str, str], code: int, words: str
) -> None:
    ended = run("keys", "trust", *arguments, env={**env, **change})
    assert ended.code == code
    assert words in ended.err


@pytest.mark.parametrize(("reply", "code"), [("y", 0), ("n", 1)])
def test_a_person_compares(hiloop: LocalHiloop, env: dict[str, str], reply: str, code: int) -> None:
    keyboard, terminal = pty.openpty()
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "keys", "trust"],
        env={**keep, "PYTHONPATH": str(ROOT), **env},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(keyboard, f"{reply}\n".encode())
    out, err = command.communicate(timeout=30)
    os.close(keyboard)
    os.close(terminal)
    assert command.returncode == code
    assert fingerprint(hiloop.human.pair.key_id) in err.decode()
    assert out.startswith(b"export HILOOP_TRUSTED_SENDERS=") == (code == 0)


def test_a_name_that_the_platform_made_up_cannot_break_the_setting(hiloop: LocalHiloop) -> None:
    wild = "A\x1b[31m, '; rm -rf / = \u202eada" + "x" * 200
    (sender,) = TrustedSenders.parse(f"{hiloop.human.pair.key_id} = {_safe_name(wild)}")
    assert sender.name.startswith("A[31m '; rm")
