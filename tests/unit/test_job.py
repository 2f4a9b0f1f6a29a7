"""One queued event: verified again before it is opened, so that nobody who only writes to Redis can forge one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import InvalidEvent, OpenError, Unverifiable
from receiver.keyring import Keyring
from receiver.layout import JOB_FUNCTION
from receiver.testing import new_key_pair, webhook_body
from tests.support.wire import AGENT, HUMAN, OLD_SECRET, SECRET, SESSION, answer, signature
from workers import job as module
from workers.job import open_job

KEYRING = Keyring([AGENT])
SECRETS = (SECRET.encode(), OLD_SECRET.encode())


def test_a_genuine_event_opens() -> None:
    body = answer("approve", event_id="evt_1", priority="High")
    event = open_job(body, signature(body), secrets=SECRETS, keyring=KEYRING)
    assert (event.id, event.type, event.session_id, event.agent_name) == (
        "evt_1",
        "response.created",
        SESSION,
        "deploy-bot",
    )
    assert (event.response, event.attempt, event.priority, event.senders) == ("approve", 1, "high", (HUMAN.key_id,))
    assert event.data["response"]["response"] == "approve"
    assert event.created_at is not None


def test_an_event_without_sealed_fields_opens() -> None:
    body = webhook_body({"reason": "done"}, type="session.closed", session_id="s")
    event = open_job(body, signature(body), secrets=SECRETS, keyring=Keyring([]))
    assert (event.response, event.data, event.senders) == (None, {"reason": "done"}, ())


def test_data_that_is_no_object_is_empty() -> None:
    body = b'{"id": "evt_1", "data": [1]}'
    assert open_job(body, signature(body), secrets=SECRETS, keyring=KEYRING).data == {}


def test_the_previous_secret_still_verifies() -> None:
    body = answer("approve")
    assert open_job(body, signature(body, OLD_SECRET), secrets=SECRETS, keyring=KEYRING).response == "approve"


@pytest.mark.parametrize("header", [b"", b"sha256=" + b"0" * 64, signature(b"another body")])
def test_a_forged_event_is_unverifiable(header: bytes) -> None:
    with pytest.raises(Unverifiable):
        open_job(answer("approve"), header, secrets=SECRETS, keyring=KEYRING)


def test_an_event_for_another_key_is_unknown() -> None:
    body = answer("approve", agent=new_key_pair())
    with pytest.raises(OpenError) as caught:
        open_job(body, signature(body), secrets=SECRETS, keyring=KEYRING)
    assert caught.value.reason == "unknown_key"


@given(st.binary(max_size=100))
def test_any_signed_bytes_give_an_event_or_a_known_error(body: bytes) -> None:
    with contextlib.suppress(InvalidEvent, OpenError):
        open_job(body, signature(body), secrets=SECRETS, keyring=KEYRING)


def test_the_function_that_a_job_names_exists_and_tells_stock_workers_off() -> None:
    package, _, name = JOB_FUNCTION.rpartition(".")
    assert package == module.__name__
    with pytest.raises(RuntimeError, match="hiloop-receiver worker"):
        getattr(module, name)()
