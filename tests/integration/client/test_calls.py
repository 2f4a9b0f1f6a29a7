"""Every call against the sandbox, blocking and async from one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from receiver.client import AsyncHiloopClient, HiloopClient, NotFound, ValidationFailed


def test_session_lives(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?", description="v2.4.1", metadata={"build": 7}, priority="high")
    assert (session.status, session.priority, session.agent_name) == ("Open", "high", "deploy-bot")
    assert (session.title, session.description, session.metadata) == ("Deploy?", "v2.4.1", {"build": 7})
    assert session.error is None
    assert session.created_at <= datetime.now(UTC)
    assert client.get_session(session.id) == session
    assert client.close_session(session.id).status == "Closed"
    assert client.archive_session(session.id).status == "Archived"
    assert session.raw["encryptedTitle"]["wrappings"]


def test_message_is_read_by_the_human_and_by_us(client: Any, human: Any) -> None:
    session = client.create_session("Deploy?")
    sent = client.send_message(session.id, "Ready.", components=[{"type": "text", "data": {"content": "now"}}])
    assert (sent.content, sent.components) == ("Ready.", [{"type": "text", "data": {"content": "now"}}])
    assert (sent.kind, sent.sender_type, sent.response_required) == ("message", "Agent", False)
    [read] = human.messages(session.id)
    assert (read.content, read.components) == (sent.content, sent.components)
    assert [each.title for each in human.sessions()] == ["Deploy?"]


def test_message_with_buttons_requires_an_answer(client: Any) -> None:
    session = client.create_session("Deploy?")
    buttons = {"type": "button_group", "data": {"buttons": [{"label": "Go", "action": "go"}]}}
    tabs = {"type": "tabs", "children": [{"type": "tab", "data": {"label": "A"}, "children": [buttons]}]}
    assert client.send_message(session.id, components=[buttons]).response_required
    assert client.send_message(session.id, components=[tabs]).response_required
    assert not client.send_message(session.id, components=[buttons], response_required=False).response_required
    assert client.send_message(session.id, "Well?", response_required=True).response_required


def test_lists_go_on_to_their_end(client: Any) -> None:
    titles = [f"Session {number}" for number in range(5)]
    for title in titles:
        client.create_session(title)
    page = client.list_sessions(limit=2)
    assert [session.title for session in page.items] == ["Session 4", "Session 3"]
    assert page.next_cursor is not None
    assert [session.title for session in client.everything(page)] == titles[::-1]
    second = client.settle(page.next_page())
    assert [session.title for session in second.items] == ["Session 2", "Session 1"]
    last = client.settle(second.next_page())
    assert client.settle(last.next_page()) is None


def test_timeline_is_whole_unless_limited(client: Any, human: Any) -> None:
    session = client.create_session("Many")
    for number in range(5):
        client.send_message(session.id, f"Message {number}")
    human.say("Hello", session.id)
    page = client.get_timeline(session.id, limit=2)
    assert [item.content for item in page.items] == ["Message 0", "Message 1"]
    whole = client.get_timeline(session.id)
    assert [item.content for item in whole.items] == [*(f"Message {number}" for number in range(5)), "Hello"]
    assert whole.items[-1].sender_type == "Human"
    assert client.everything(page) == list(whole.items)


def test_participants(client: Any) -> None:
    session = client.create_session("Deploy?")
    before = client.everything(client.list_participants(session.id))
    assert {participant.type for participant in before} == {"Human", "Agent"}
    added = client.add_participant(session.id, email="second@example.com")
    after = client.everything(client.list_participants(session.id))
    assert {participant.id for participant in after} == {added.id, *(one.id for one in before)}
    assert client.add_participant(session.id, added.id).id == added.id
    with pytest.raises(ValidationFailed, match="either participant_id or email"):
        client.add_participant(session.id)


def test_guest_token_is_a_secret(client: Any) -> None:
    session = client.create_session("Deploy?")
    token = client.create_guest_token(session.id, "Ada", expires_in=60)
    assert token.expires_at > datetime.now(UTC)
    assert token.token not in repr(token)
    assert token.token in token.url


def test_typing(client: Any) -> None:
    session = client.create_session("Deploy?")
    assert client.send_typing(session.id) is None
    assert client.send_typing(session.id, typing=False) is None


def test_repr_shows_no_plaintext(client: Any) -> None:
    session = client.create_session("Secret title", metadata={"a": "Secret data"})
    message = client.send_message(session.id, "Secret text")
    shown = repr([session, message, client.list_sessions(), client.get_timeline(session.id)])
    assert session.id in shown
    assert "Secret" not in shown
    assert "ciphertext" not in shown


def test_what_is_not_there(client: Any) -> None:
    with pytest.raises(NotFound) as caught:
        client.get_session("00000000-0000-4000-8000-000000000000")
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert caught.value.request_id
    assert caught.value.hint


@pytest.mark.parametrize("session_id", ["", "..", "../keys", "a/b", "a?b", "a#b", "a b", "é", "x" * 129])
def test_what_is_no_id_is_not_sent(client: Any, session_id: str) -> None:
    with pytest.raises(ValidationFailed, match="session_id is not an id"):
        client.get_session(session_id)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("create_session", [""], {}, "title must be a string"),
        ("create_session", ["t"], {"priority": "urgent"}, "priority must be one of critical, high, normal, low"),
        ("create_session", ["t"], {"metadata": [1]}, "metadata must be a mapping"),
        ("create_session", ["t"], {"metadata": {"a": float("nan")}}, "metadata cannot be written as JSON"),
        ("create_session", ["t"], {"metadata": {"a": object()}}, "metadata cannot be written as JSON"),
        ("create_session", ["\ud800"], {}, "title cannot be written as JSON"),
        ("send_message", ["s"], {}, "a message needs content or components"),
        ("send_message", ["s"], {"components": [{}]}, r"components\[0\].type is missing"),
        ("list_sessions", [], {"limit": 0}, "limit must be a whole number above 0"),
        ("await_response", ["s"], {"timeout": -1}, "timeout must be"),
        ("await_response", ["s"], {"timeout": float("nan")}, "timeout must be"),
        ("ask", ["t"], {}, "a question needs content or components"),
        ("create_guest_token", ["s", "n"], {"expires_in": 0}, "expires_in must be"),
        ("retry_failed_deliveries", [], {"since": datetime(2026, 1, 1)}, "since needs a time zone"),  # noqa: DTZ001  # that is the point
    ],
)
def test_wrong_arguments_are_refused(
    connect: Any, name: str, args: list[Any], kwargs: dict[str, Any], message: str
) -> None:
    nobody_listens = connect("http://127.0.0.1:9")
    with pytest.raises(ValidationFailed, match=message) as caught:
        getattr(nobody_listens, name)(*args, **kwargs)
    assert caught.value.status is None


def test_acting_as_another_agent_shares_connections(client: Any, human: Any) -> None:
    other = client.acting_as("report-bot")
    session = other.create_session("Report")
    assert session.agent_name == "report-bot"
    assert other.get_session(session.id).title == "Report"
    with pytest.raises(NotFound):
        client.get_session(session.id)
    other.close()
    assert client.create_session("Still open").agent_name == "deploy-bot"
    with pytest.raises(ValidationFailed, match="agent_name"):
        client.acting_as("")


def test_threads_may_share_a_client(hiloop: Any) -> None:
    with HiloopClient(hiloop.api_key, "deploy-bot", base_url=hiloop.url, agent_keys=()) as client:
        with ThreadPoolExecutor(8) as threads:
            made = list(
                threads.map(lambda number: client.acting_as(f"bot-{number % 3}").create_session("t"), range(24))
            )
        assert len({session.id for session in made}) == 24
        assert {session.agent_name for session in made} == {"bot-0", "bot-1", "bot-2"}


def test_both_clients_offer_the_same_calls() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(HiloopClient) - {"close"} == names(AsyncHiloopClient) - {"aclose"}
