"""What a state file carries from one run to the next."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from receiver.errors import ConfigurationError
from receiver.sandbox.harness import LocalHiloop
from tests.integration.sandbox.agent import Agent
from tests.integration.sandbox.endpoint import Endpoint


def test_everything_is_there_again(tmp_path: Path, endpoint: Endpoint) -> None:
    file = tmp_path / "deep" / "state.json"
    with LocalHiloop(state_file=file, webhook_url=endpoint.url) as first:
        agent = Agent(first)
        session_id, message_id = agent.ask()
        first.human.say("hello")
        before = agent.http.get(f"/sessions/{session_id}/timeline").json()
        delivered = first.admin.wait_until_settled()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["state.json"]

    with LocalHiloop(state_file=file, api_key=first.api_key, human_key=first.human.pair) as second:
        agent = Agent(second)
        assert agent.http.get(f"/sessions/{session_id}/timeline").json() == before
        assert second.admin.deliveries() == delivered
        assert len(second.admin.webhooks()) == 1
        assert second.human.answer("approve").id == message_id
        assert endpoint.wait_for(3)[-1].event["type"] == "response.created"


def test_what_was_pending_goes_on(tmp_path: Path, endpoint: Endpoint) -> None:
    file = tmp_path / "state.json"
    with (
        LocalHiloop(state_file=file, webhook_url=endpoint.url, faults=["dropx1"]) as first,
        first.admin.notices(10) as notices,
    ):
        Agent(first).new_session()
        next(each for each in notices if each["type"] == "delivery.attempted")
    assert endpoint.received == []
    with LocalHiloop(state_file=file) as second:
        endpoint.wait_for(1)
        (delivery,) = second.admin.wait_until_settled()
    assert (delivery["status"], delivery["attempts"]) == ("Delivered", 2)


def test_the_webhook_of_the_command_line_is_made_once(tmp_path: Path, endpoint: Endpoint) -> None:
    file = tmp_path / "state.json"
    for secret in ("old", "new"):
        with LocalHiloop(state_file=file, webhook_url=endpoint.url, token="t", secret=secret) as hiloop:
            assert len(hiloop.admin.webhooks()) == 1
            Agent(hiloop).new_session()
            hiloop.admin.wait_until_settled()
    assert [each.verifies("t", "new") for each in endpoint.received] == [False, True]


def test_a_file_that_cannot_be_used_is_said_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        LocalHiloop(state_file=tmp_path / "file" / "state.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        LocalHiloop(state_file=tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', '{"version": 1, "members": 7}']
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="no state file"):
        LocalHiloop(state_file=file)
    assert file.read_text() == content
