"""The commands `sandbox` (in a process of its own) and `trigger`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from receiver.sandbox import identity
from receiver.sandbox.cli import sandbox, trigger
from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import APPROVAL, FORM, Agent
from tests.integration.sandbox.endpoint import Endpoint


@dataclass
class Terminal:
    """Where `trigger` is typed, beside a running sandbox."""

    hiloop: LocalHiloop
    state: Path

    def type(self, *words: str) -> Result:
        common = ["--url", self.hiloop.url, "--state", str(self.state)]
        return CliRunner().invoke(trigger, [*common, *words])

    def facts(self, *words: str) -> Any:
        result = self.type("--output", "json", *words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    state = tmp_path / "state.json"
    who = identity.load_or_make(identity.default_path(state))
    with LocalHiloop(speed=1000, human_key=who.human, api_key=who.api_key) as hiloop:
        yield Terminal(hiloop, state)


@pytest.fixture
def bot(terminal: Terminal) -> Agent:
    return Agent(terminal.hiloop)


def response_to(agent: Agent, session_id: str) -> Any:
    response = agent.awaited(session_id, timeout=5)
    return agent.opened(response["encryptedResponse"], session_id, "encryptedResponse")


def test_trigger_response(terminal: Terminal, bot: Agent) -> None:
    session_id, message_id = bot.ask()
    assert terminal.facts("response", "--action", "approve") == {"sessionId": session_id, "messageId": message_id}
    assert response_to(bot, session_id) == "approve"


def test_trigger_response_in_a_session_and_to_a_message(terminal: Terminal, bot: Agent) -> None:
    first, second = bot.ask()[0], bot.ask()[0]
    assert terminal.type("response", "--action", "reject", "--session", first).exit_code == 0
    assert response_to(bot, first) == "reject"
    (message_id, _) = (bot.send(second, components=APPROVAL), bot.send(second, components=APPROVAL))
    result = terminal.facts("response", "--action", "approve", "--session", second, "--message", message_id)
    assert result["messageId"] == message_id


def test_trigger_form(terminal: Terminal, bot: Agent) -> None:
    session_id, _ = bot.ask(FORM)
    words = ["--answer", "severity=High", "--answer", "affected=API", "--answer", "affected=Mobile"]
    result = terminal.type("form", *words, "--answer", "details=a=b")
    assert result.exit_code == 0
    assert f"sent the form in session {session_id}" in result.stdout
    assert response_to(bot, session_id) == {"severity": "High", "affected": ["API", "Mobile"], "details": "a=b"}


def test_trigger_message_and_closing(terminal: Terminal, bot: Agent) -> None:
    session_id = bot.new_session()
    assert terminal.facts("message", "wait, not yet")["sessionId"] == session_id
    assert terminal.hiloop.human.messages(session_id)[0].content == "wait, not yet"
    assert terminal.facts("session.closed")["sessionId"] == session_id
    assert bot.http.get(f"/sessions/{session_id}").json()["status"] == "Closed"


def test_trigger_webhook_test(terminal: Terminal, endpoint: Endpoint) -> None:
    assert terminal.type("webhook.test").exit_code == 3
    made = terminal.hiloop.admin.add_webhook(endpoint.url)
    assert len(terminal.facts("webhook.test")["deliveryIds"]) == 1
    assert terminal.type("webhook.test", "--webhook", made["id"]).exit_code == 0
    assert {each.event["type"] for each in endpoint.wait_for(2)} == {"webhook.test"}


def test_trigger_webhook_faults(terminal: Terminal, endpoint: Endpoint) -> None:
    made = terminal.hiloop.admin.add_webhook(endpoint.url)
    assert terminal.facts("webhook.faults", "dropx2", "delay:1s@10%")["webhookIds"] == [made["id"]]
    assert [each["kind"] for each in terminal.hiloop.admin.webhooks()[0]["faults"]] == ["drop", "delay"]
    assert "nothing goes wrong" in terminal.type("webhook.faults").stdout
    assert terminal.hiloop.admin.webhooks()[0]["faults"] == []
    assert terminal.type("webhook.faults", "explode").exit_code == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["response", "--action", "aprove"], 2, "approve, reject"),
        (["response"], 2, "--action"),
        (["form", "--answer", "severity"], 2, "QUESTION=ANSWER"),
        (["form", "--answer", "severity=High"], 2, "no form"),
        (["response", "--action", "approve", "--session", "nope"], 3, "no such session"),
        (["response", "--action", "approve", "--message", "nope"], 3, "no such message"),
        (["response", "--action", "approve", "--wait", "soon"], 2, "500ms"),
        (["webhook.test", "--webhook", "nope"], 3, "no such webhook"),
    ],
)
def test_trigger_explains_what_is_wrong(terminal: Terminal, bot: Agent, words: list[str], code: int, says: str) -> None:
    bot.ask()
    result = terminal.type(*words)
    assert (result.exit_code, says in result.output) == (code, True), result.output
    assert "hint:" in result.stderr or "Usage:" in result.stderr


def test_trigger_refused_unreachable_and_without_identity(terminal: Terminal, bot: Agent, tmp_path: Path) -> None:
    session_id, _ = bot.ask()
    bot.http.post(f"/sessions/{session_id}/close")
    refused = terminal.type("message", "hi", "--session", session_id)
    assert (refused.exit_code, "session_closed" in refused.stderr) == (4, True)
    away = CliRunner().invoke(trigger, ["--url", "http://127.0.0.1:9", "--state", str(terminal.state), "message", "hi"])
    assert (away.exit_code, "start one with `hiloop-receiver sandbox`" in away.stderr) == (5, True)
    nobody = CliRunner().invoke(trigger, ["--state", str(tmp_path / "other" / "x"), "message", "hi"])
    assert (nobody.exit_code, "--state" in nobody.stderr) == (3, True)


def test_sandbox_runs_tells_and_stops(tmp_path: Path, endpoint: Endpoint) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\ntitle = "*never*"\nanswer = "reject"\nafter = "1ms"\n')
    state = tmp_path / "state.json"
    words = ["--port", "0", "--state", str(state), "--webhook", endpoint.url, "--token", "t", "--secret", "s",
             "--speed", "1000", "--fault", "dropx1", "--rules", str(rules), "--auto", "approve"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", "from receiver.sandbox.cli import sandbox; sandbox()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ".", "HILOOP_API_KEY": ""},
    )
    with process:
        assert process.stdout is not None
        greeting = "".join(takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        address = next(word for word in greeting.split() if word.startswith("HILOOP_BASE_URL=")).partition("=")[2]
        api_key = next(word for word in greeting.split() if word.startswith("HILOOP_API_KEY=")).partition("=")[2]
        assert f"{address}/#key=" in greeting
        agent = Agent(SimpleNamespace(url=address, api_key=api_key))
        never, other = agent.new_session("never on Friday"), agent.new_session("Deploy?")
        for session_id in (never, other):
            agent.send(session_id, components=APPROVAL)
        assert response_to(agent, never) == "reject"
        assert response_to(agent, other) == "approve"
        assert all(each.verifies("t", "s") for each in endpoint.wait_for(4))
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert errors == ""
    told = greeting + output
    assert "response.created" in told
    assert "lost on the way" in told
    assert "Stopped" in output
    for path in (state, tmp_path / identity.FILE_NAME):
        assert path.stat().st_mode & 0o777 == 0o600
    assert identity.load(tmp_path / identity.FILE_NAME).api_key == api_key


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--fault", "explode"], 2, "wrong-signature"),
        (["--after", "soon"], 2, "500ms"),
        (["--speed", "0"], 2, "speed"),
        (["--rules", "RULES"], 2, "rule 1"),
        (["--state", "STATE"], 2, "no state file"),
        (["--port", "TAKEN"], 1, "is taken"),
    ],
)
def test_sandbox_explains_what_is_wrong(
    shared: LocalHiloop, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    (tmp_path / "rules.toml").write_text("[[rule]]\nanswer = 7\n")
    (tmp_path / "state.json").write_text("{}")
    places = {"RULES": str(tmp_path / "rules.toml"), "STATE": str(tmp_path / "state.json"), "TAKEN": str(shared.port)}
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    result = CliRunner(env=environment).invoke(sandbox, [places.get(each, each) for each in words])
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_an_identity_is_made_once_and_another_file_refused(tmp_path: Path) -> None:
    path = tmp_path / identity.FILE_NAME
    made = identity.load_or_make(path)
    assert identity.load_or_make(path) == made
    assert made.api_key not in repr(made)
    path.write_text('{"apiKey": "x"}')
    with pytest.raises(Exception, match="move it away"):
        identity.load_or_make(path)
