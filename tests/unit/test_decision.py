"""What a hostile relay may send, signed by itself, and what a worker that trusts one human makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_aes256gcm_encrypt

from receiver.envelope import _decrypt, _wrapping_key, associated_data, open_fields, seal
from receiver.errors import OpenError, ReplayedAnswer, UntrustedSender
from receiver.events import Event
from receiver.keyring import KeyPair, Keyring, shared_secret
from receiver.sealed import answer_digest, encrypted_fields
from receiver.senders import TrustedSender, TrustedSenders
from receiver.settings import WorkerSettings
from receiver.testing import webhook_body
from tests.support.wire import AGENT, API_KEY, HUMAN, SECRET, SESSION, signature
from workers.job import open_job
from workers.opened import OpenedEvent
from workers.run import keyring_of, opening_keyring

ADA = TrustedSender(HUMAN.key_id, "Ada", HUMAN.public_key)
BEN_PAIR = KeyPair.from_private(b"\x0b" * 32)
BEN = TrustedSender(BEN_PAIR.key_id, "Ben")
MALLORY = KeyPair.from_private(b"\x0d" * 32)
TRUSTED = TrustedSenders([ADA, BEN])


def sealed(value: Any, name: str, sender: KeyPair = HUMAN, session: str = SESSION, for_: KeyPair = AGENT) -> Any:
    """``value`` sealed under the field ``name``."""
    plaintext = json.dumps(value).encode()
    return seal(plaintext, sender=sender, recipients=[for_.public_key], session_id=session, field_name=name)


def opened(data: Any, kind: str = "response.created", **options: Any) -> OpenedEvent:
    """The event as a worker that trusts Ada and Ben opens it; signed by the relay, as everything is."""
    fields = {name: options.pop(name) for name in ("agent_name", "event_id") if name in options}
    body = webhook_body(data, type=kind, session_id=SESSION, **fields)
    settings = {"secrets": [SECRET.encode()], "keyring": Keyring([AGENT]), "trusted": TRUSTED, **options}
    return open_job(body, signature(body), **settings)


ANSWER = sealed("approve", "encryptedResponse")
GENUINE: dict[str, tuple[str, Any, TrustedSender | None, Any]] = {
    "an answer": ("response.created", {"response": {"encryptedResponse": ANSWER}}, ADA, "approve"),
    "an answer of another trusted sender": (
        "response.created",
        {"response": {"encryptedResponse": sealed("reject", "encryptedResponse", BEN_PAIR)}},
        BEN,
        "reject",
    ),
    "an answer, and what the agent itself has sealed beside it": (
        "response.created",
        {"encryptedResponse": ANSWER, "message": {"encryptedContent": sealed("Deploy?", "encryptedContent", AGENT)}},
        ADA,
        "approve",
    ),
    "an answer of one, with a note of another": (
        "response.created",
        {"encryptedResponse": ANSWER, "encryptedNote": sealed("ok", "encryptedNote", BEN_PAIR)},
        ADA,
        "approve",
    ),
    "a message": ("message.created", {"message": {"encryptedContent": sealed("Hi", "encryptedContent")}}, ADA, None),
    "an event in which nobody speaks": ("session.closed", {"reason": "done"}, None, None),
    "a session that the agent has opened": (
        "session.created",
        {"encryptedTitle": sealed("Deploy?", "encryptedTitle", AGENT)},
        None,
        None,
    ),
}


@pytest.mark.parametrize(("kind", "data", "sender", "response"), GENUINE.values(), ids=GENUINE.keys())
def test_who_has_decided(kind: str, data: Any, sender: TrustedSender | None, response: Any) -> None:
    event = opened(data, kind)
    assert (event.sender, event.response) == (sender, response)


FORGED: dict[str, tuple[str, Any]] = {
    "an answer in plaintext": ("response.created", {"response": {"response": "approve", "responderId": "ada"}}),
    "an answer in plaintext under its sealed name": ("response.created", {"encryptedResponse": "approve"}),
    "an answer sealed by the relay, under the human's name": (
        "response.created",
        {"responderId": "ada", "encryptedResponse": sealed("approve", "encryptedResponse", MALLORY)},
    ),
    "an answer of the agent itself": (
        "response.created",
        {"encryptedResponse": sealed("approve", "encryptedResponse", AGENT)},
    ),
    "a genuine answer beside one of the relay": (
        "response.created",
        {"a": {"encryptedResponse": ANSWER}, "b": {"encryptedResponse": sealed("x", "encryptedResponse", MALLORY)}},
    ),
    "two genuine answers at once": (
        "response.created",
        {"a": {"encryptedResponse": sealed("reject", "encryptedResponse")}, "b": {"encryptedResponse": ANSWER}},
    ),
    "a plaintext answer beside a genuine message": (
        "response.created",
        {"response": {"response": "approve"}, "encryptedContent": sealed("Hi", "encryptedContent")},
    ),
    "a genuine message as an answer": ("response.created", {"encryptedContent": sealed("Hi", "encryptedContent")}),
    "a genuine answer as a message": ("message.created", {"encryptedResponse": ANSWER, "content": "approve"}),
    "a genuine answer as an event of another type": ("deploy.approved", {"encryptedResponse": ANSWER}),
    "a genuine answer as the end of the session": ("session.closed", {"encryptedResponse": ANSWER}),
    "a message in plaintext": ("message.created", {"message": {"content": "approve"}}),
    "the agent's own message as the human's": (
        "message.created",
        {"encryptedContent": sealed("Deploy now", "encryptedContent", AGENT)},
    ),
    "a title that a stranger has sealed": (
        "session.created",
        {"encryptedTitle": sealed("Deploy?", "encryptedTitle", MALLORY)},
    ),
}


@pytest.mark.parametrize(("kind", "data"), FORGED.values(), ids=FORGED.keys())
def test_what_no_trusted_sender_has_sealed_is_refused(kind: str, data: Any) -> None:
    with pytest.raises(UntrustedSender):
        opened(data, kind)


def claim_ben(envelope: Any) -> None:
    envelope["wrappings"][0]["senderKeyId"] = BEN_PAIR.key_id


def claim_ben_with_his_public_key(envelope: Any) -> None:
    public_key = base64.b64encode(BEN_PAIR.public_key).decode()
    envelope["wrappings"][0] |= {"senderKeyId": BEN_PAIR.key_id, "senderPublicKey": public_key}


@pytest.mark.parametrize("claim", [claim_ben, claim_ben_with_his_public_key])
def test_nobody_seals_in_another_ones_name(claim: Callable[[Any], None]) -> None:
    envelope = sealed("approve", "encryptedResponse", MALLORY)
    claim(envelope)
    with pytest.raises(OpenError):
        opened({"encryptedResponse": envelope})


@pytest.mark.parametrize(
    "moved",
    [
        {"encryptedResponse": sealed("approve", "encryptedResponse", session="another session")},
        {"encryptedResponse": sealed("approve", "encryptedContent")},
        {"encryptedContent": ANSWER},
    ],
    ids=["from another session", "from another field", "into another field"],
)
def test_a_moved_answer_does_not_open(moved: Any) -> None:
    with pytest.raises(OpenError) as caught:
        opened(moved)
    assert caught.value.reason == "bad_ciphertext"


def test_an_answer_for_one_agent_is_none_for_another_that_has_a_key_of_its_own() -> None:
    keyring = Keyring([replace(AGENT, agent="staging-bot"), replace(BEN_PAIR, agent="prod-bot")])
    data = {"encryptedResponse": ANSWER}
    assert opened(data, agent_name="staging-bot", keyring=keyring).response == "approve"
    with pytest.raises(OpenError) as caught:
        opened(data, agent_name="prod-bot", keyring=keyring)
    assert caught.value.reason == "unknown_key"


def test_a_human_decides_once() -> None:
    data = {"encryptedResponse": ANSWER}
    with pytest.raises(ReplayedAnswer, match="evt_1"):
        opened(data, copy_of="evt_1")
    assert opened(data, copy_of="evt_1", trusted=TrustedSenders()).response == "approve"


def test_without_trusted_senders_nobody_is_named() -> None:
    event = opened({"encryptedResponse": sealed("approve", "encryptedResponse", MALLORY)}, trusted=TrustedSenders())
    assert (event.sender, event.senders, event.response) == (None, (MALLORY.key_id,), "approve")


@pytest.mark.parametrize("kind", ["response.created", "session.closed"])
def test_even_then_a_plaintext_is_no_response(kind: str) -> None:
    event = opened({"response": {"response": "approve"}}, kind, trusted=TrustedSenders())
    assert (event.response, event.sender, event.sealed) == (None, None, {})


def test_even_then_an_answer_under_another_type_is_no_response() -> None:
    event = opened({"encryptedResponse": ANSWER}, "session.closed", trusted=TrustedSenders())
    assert (event.response, event.sealed) == (None, {"response": "approve"})


def test_the_error_names_the_key_and_nothing_else() -> None:
    with pytest.raises(UntrustedSender, match=MALLORY.key_id) as caught:
        opened({"encryptedResponse": sealed("canary", "encryptedResponse", MALLORY)})
    assert "canary" not in str(caught.value)


def test_a_key_that_the_platform_knows_opens_nothing_for_those_who_trust_it_not() -> None:
    own = base64.b64encode(BEN_PAIR.private_key).decode()
    alone = WorkerSettings(api_key=API_KEY, trusted_senders=TRUSTED)
    both = WorkerSettings(api_key=API_KEY, agent_keys=(own,), trusted_senders=TRUSTED)
    assert list(opening_keyring(alone)) == [AGENT]
    assert list(opening_keyring(both)) == [BEN_PAIR]
    assert list(opening_keyring(replace(both, trusted_senders=TrustedSenders()))) == [BEN_PAIR, AGENT]
    assert list(keyring_of(both)) == [BEN_PAIR, AGENT], "the client still reads what was sealed before"


def sealed_in_the_name_of(human: KeyPair, agent: KeyPair) -> Any:
    """What whoever knows the agent's private key can make, and nobody else: both sides share one secret."""
    envelope = sealed("approve", "encryptedResponse", agent, for_=human)
    (wrapping,) = envelope["wrappings"]
    aad, salt = associated_data(SESSION, "encryptedResponse"), base64.b64decode(wrapping["salt"])
    secret = shared_secret(agent.private_key, human.public_key)
    key, nonce = _wrapping_key(secret, salt, human.key_id, agent.key_id)
    content_key = _decrypt(base64.b64decode(wrapping["wrappedKey"]), aad, nonce, key)
    key, nonce = _wrapping_key(secret, salt, agent.key_id, human.key_id)
    wrapping["wrappedKey"] = base64.b64encode(crypto_aead_aes256gcm_encrypt(content_key, aad, nonce, key)).decode()
    wrapping["senderPublicKey"] = base64.b64encode(human.public_key).decode()
    wrapping |= {"senderKeyId": human.key_id, "recipientKeyId": agent.key_id}
    return envelope


def test_what_the_platform_can_forge_with_the_key_it_can_derive_opens_with_no_key_of_ones_own() -> None:
    forged = {"encryptedResponse": sealed_in_the_name_of(HUMAN, AGENT)}
    assert opened(forged).sender == ADA, "this is why the README asks for a key of the agent's own"
    own = base64.b64encode(BEN_PAIR.private_key).decode()
    careful = WorkerSettings(api_key=API_KEY, agent_keys=(own,), trusted_senders=TRUSTED)
    with pytest.raises(OpenError) as caught:
        opened(forged, keyring=opening_keyring(careful))
    assert caught.value.reason == "unknown_key"


# What an answer is recognised by


def digest(data: Any, kind: str = "response.created") -> str:
    return answer_digest(Event.from_bytes(webhook_body(data, type=kind, session_id=SESSION)))


def test_the_same_answer_is_recognised_wherever_it_stands_and_whoever_it_is_wrapped_for() -> None:
    fewer = {**ANSWER, "wrappings": []}
    same = {digest(data) for data in ({"encryptedResponse": ANSWER}, {"a": [{"encryptedResponse": fewer}]})}
    assert len(same) == 1
    assert same != {digest({"encryptedResponse": sealed("approve", "encryptedResponse")})}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message.created", {"encryptedResponse": ANSWER}),
        ("response.created", {"encryptedContent": ANSWER}),
        ("response.created", {"response": "approve"}),
        ("response.created", {"encryptedResponse": {"ciphertext": 1, "wrappings": []}}),
    ],
)
def test_what_is_no_answer_has_no_digest(kind: str, data: Any) -> None:
    assert digest(data, kind) == ""


DECOYS = st.sampled_from(
    [
        {"encryptedResponse": {"ciphertext": "decoy"}},
        {"encryptedResponse": {"wrappings": []}},
        {"encryptedResponse": ["decoy"]},
        {"encryptedresponse": {"ciphertext": "decoy", "wrappings": []}},
        {"a": {"ciphertext": "decoy", "wrappings": []}},
    ]
)


@given(st.recursive(DECOYS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)))
def test_no_decoy_hides_an_answer_from_being_recognised(decoy: Any) -> None:
    data = {"first": decoy, "encryptedResponse": ANSWER, "last": decoy}
    assert digest(data) == digest({"encryptedResponse": ANSWER})


NOTE = sealed("note", "encryptedNote")


@given(
    st.recursive(
        st.none() | DECOYS | st.sampled_from([{"encryptedNote": NOTE}, {"encryptedResponse": ANSWER}]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    )
)
def test_the_fields_that_are_seen_closed_are_those_that_are_opened(value: Any) -> None:
    opened_names = [one.name for one in open_fields(value, keyring=Keyring([AGENT]), session_id=SESSION).sealed]
    assert sorted(name for name, _ in encrypted_fields({"data": value})) == sorted(opened_names)
