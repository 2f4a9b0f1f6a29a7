"""The browser's envelope and the agent's: each opens what the other sealed, and both refuse the same."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from receiver.envelope import open_envelope, seal
from receiver.errors import OpenError
from receiver.keyring import KeyPair, Keyring, key_id

if TYPE_CHECKING:
    from playwright.sync_api import Page

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "profile-v1.json").read_text())
AGENT_KEYS = [key["private_key"] for key in VECTORS["agent_keys"][1:]]
SESSION = "3f2b8c1e-0000-4000-8000-00000000abcd"
VALUES = [
    "approve",
    "",
    "véto – 不行 🙅\u200d♀️ \ufeff \x00",
    {"severity": "High", "affected": ["API"], "details": "a\nb", "größe": None},
    [1, -2.5, True, None],
    "x" * 200_000,
]

# Opens each case and says how it went: {value, sender} or {error}.
OPEN = """async ([cases, privateKeys]) => {
    const { fromBase64, keyPair, open } = await import("/envelope.js");
    const keys = await Promise.all(privateKeys.map((key) => keyPair(fromBase64(key, "key"))));
    return Promise.all(cases.map(({ envelope, session_id, field }) =>
        open(envelope, { keys, sessionId: session_id, field }).then(
            ({ value, senderKeyId }) => ({ value, sender: senderKeyId }),
            (error) => ({ error: error.name }))));
}"""
SEAL = """async ([values, privateKey, recipients, sessionId, field]) => {
    const { fromBase64, keyPair, seal } = await import("/envelope.js");
    const sender = await keyPair(fromBase64(privateKey, "key"));
    const to = { sender, recipients: recipients.map((key) => fromBase64(key, "key")), sessionId, field };
    return Promise.all(values.map((value) => seal(value, to)));
}"""


def new_pair(seed: int) -> KeyPair:
    return KeyPair.from_private(bytes([seed]) * 32)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(page: Page, cases: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
    return page.evaluate(OPEN, [cases, keys])


def case(envelope: Any, session_id: str = SESSION, field: str = "encryptedResponse") -> dict[str, Any]:
    return {"envelope": envelope, "session_id": session_id, "field": field}


def test_private_keys_have_the_public_keys_and_ids_of_the_vectors(page: Page) -> None:
    pairs = page.evaluate(
        """async (keys) => {
            const { fromBase64, keyPair, toBase64 } = await import("/envelope.js");
            const pairs = await Promise.all(keys.map((key) => keyPair(fromBase64(key, "key"))));
            return pairs.map(({ publicKey, keyId }) => [toBase64(publicKey), keyId]);
        }""",
        [key["private_key"] for key in VECTORS["agent_keys"]],
    )
    assert pairs == [[key["public_key"], key["key_id"]] for key in VECTORS["agent_keys"]]


def test_every_valid_vector_opens(page: Page) -> None:
    def value(plaintext: str) -> Any:
        try:
            return json.loads(plaintext)
        except ValueError:
            return plaintext

    results = opened(page, VECTORS["valid"], AGENT_KEYS)
    expected = [{"value": value(v["plaintext"]), "sender": v["sender_key_id"]} for v in VECTORS["valid"]]
    assert results == expected


def test_every_invalid_vector_is_refused_by_name(page: Page) -> None:
    results = opened(page, VECTORS["invalid"], AGENT_KEYS)
    assert results == [{"error": vector["error"]} for vector in VECTORS["invalid"]]


def test_the_browser_opens_what_python_sealed(page: Page) -> None:
    agent, human = new_pair(1), new_pair(2)
    to = {"sender": agent, "recipients": [agent.public_key, human.public_key], "session_id": SESSION}
    cases = [case(seal(json.dumps(v).encode(), field_name="encryptedResponse", **to)) for v in VALUES]
    results = opened(page, cases, [to_base64(human.private_key)])
    assert results == [{"value": value, "sender": agent.key_id} for value in VALUES]


def test_python_opens_what_the_browser_sealed(page: Page) -> None:
    agent, human = new_pair(1), new_pair(2)
    recipients = [to_base64(human.public_key), to_base64(agent.public_key)]
    envelopes = page.evaluate(SEAL, [VALUES, to_base64(human.private_key), recipients, SESSION, "encryptedResponse"])
    for reader in (agent, human):
        results = [
            open_envelope(e, keyring=Keyring([reader]), session_id=SESSION, field_name="encryptedResponse")
            for e in envelopes
        ]
        assert [result.value for result in results] == VALUES
        assert {result.sender_key_id for result in results} == {human.key_id}
    parts = [each["ciphertext"] for each in envelopes] + [w["salt"] for e in envelopes for w in e["wrappings"]]
    assert len(set(parts)) == len(parts), "nonces and salts are fresh"


@pytest.mark.parametrize("part", ["ciphertext", "wrappedKey", "salt", "senderPublicKey"])
def test_a_flipped_bit_is_refused_wherever_it_is(page: Page, part: str) -> None:
    agent, human = new_pair(1), new_pair(2)
    [envelope] = page.evaluate(
        SEAL,
        [
            ["approve"],
            to_base64(human.private_key),
            [to_base64(agent.public_key)],
            SESSION,
            "encryptedResponse",
        ],
    )
    holder = envelope if part == "ciphertext" else envelope["wrappings"][0]
    original = base64.b64decode(holder[part])
    cases = []
    for position in range(len(original)):
        holder[part] = to_base64(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
        cases.append(case(json.loads(json.dumps(envelope))))
    results = opened(page, cases, [to_base64(agent.private_key)])
    # Another public key no longer has the id that is given with it; all else fails to authenticate.
    expected = "bad_envelope" if part == "senderPublicKey" else "bad_ciphertext"
    assert results == [{"error": expected}] * len(cases)


def test_both_refuse_strange_envelopes_by_the_same_name(page: Page) -> None:
    agent, human = new_pair(1), new_pair(2)
    good = seal(
        b'"approve"',
        sender=human,
        recipients=[agent.public_key],
        session_id=SESSION,
        field_name="encryptedResponse",
    )
    [wrapping] = good["wrappings"]
    strange: list[Any] = [None, 1, "x", [], {}, {"ciphertext": good["ciphertext"]}, {"wrappings": []}]
    strange += [good | {"ciphertext": text} for text in (None, "", "=", "A", "AAAA\n", good["ciphertext"] + "=", "é")]
    strange += [good | {"wrappings": each} for each in (None, [None], [[]], [{}], [wrapping] * 1025, ["a", wrapping])]
    strange += [
        good | {"wrappings": [wrapping | {name: value}]}
        for name in wrapping
        for value in (None, 7, "", "AAAA", [], wrapping[name] + " ", wrapping[name].swapcase())
    ]
    # Points of low order give an all-zero secret (RFC 7748, section 6.1).
    low_order = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"]
    for point in low_order:
        weak = {"senderPublicKey": to_base64(point), "senderKeyId": key_id(point)}
        strange.append(good | {"wrappings": [wrapping | weak]})

    def refusal(envelope: Any) -> dict[str, str]:
        with pytest.raises(OpenError) as caught:
            open_envelope(envelope, keyring=Keyring([agent]), session_id=SESSION, field_name="encryptedResponse")
        return {"error": caught.value.reason}

    results = opened(page, [case(each) for each in strange], [to_base64(agent.private_key)])
    assert results == [refusal(each) for each in strange]
    assert {result["error"] for result in results} == {"bad_envelope", "bad_ciphertext", "unknown_key"}
