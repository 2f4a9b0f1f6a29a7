"""Any headers and any body get an answer of the contract; nothing is accepted that is not signed in its exact form."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from receiver.signature import sign
from tests.support.asgi import ask
from tests.support.wire import answer

TOKEN, SECRET = b"token-of-a-property", b"secret-of-a-property"
MAX_BODY = 4096
BODY = answer("approve", event_id="evt_1")
GENUINE = [
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer " + TOKEN),
    (b"x-hiloop-signature", sign(SECRET, BODY).encode()),
    (b"content-length", b"%d" % len(BODY)),
]
STATUSES = {200, 202, 400, 401, 413, 415, 422}

names = st.sampled_from([name for name, _ in GENUINE] + [b"content-encoding", b"traceparent"]) | st.binary(max_size=20)
values = st.sampled_from([value for _, value in GENUINE]) | st.binary(max_size=100)
headers = st.lists(st.tuples(names, values), max_size=8)
parts = st.lists(st.binary(max_size=200), max_size=4)


def send(head: Any, body: Any, *, disconnects: bool = False) -> Any:
    """What one request comes to."""
    return ask(head, body, token=TOKEN, secret=SECRET, disconnects=disconnects, max_body=MAX_BODY)


def is_genuine(head: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """Whether token and signature are there, once, and right for this body."""
    found = {name: [value for other, value in head if other == name] for name, _ in GENUINE}
    token, signature = found[b"authorization"], found[b"x-hiloop-signature"]
    return (
        len(token) == len(signature) == 1
        and token[0][:7].lower() == b"bearer "
        and token[0][7:] == TOKEN
        and signature[0] == sign(SECRET, body).encode()
    )


@given(headers, parts)
@example(GENUINE, [BODY])
@example([], [])
def test_any_request(head: list[tuple[bytes, bytes]], body: list[bytes]) -> None:
    asked = send(head, body)
    assert asked.status in STATUSES
    assert (asked.status == 202) == bool(asked.inbox.accepted)
    if asked.status in (200, 202):
        assert is_genuine(head, b"".join(body))
    else:
        assert asked.body["error"]["message"]


@given(headers)
def test_genuine_headers_and_others_beside_them(more: list[tuple[bytes, bytes]]) -> None:
    asked = send([*GENUINE, *more], [BODY])
    meant = {name for name, _ in GENUINE} | {b"content-encoding"}
    if not {name for name, _ in more} & meant:
        assert asked.status == 202, "a header that means nothing changes nothing"
    elif asked.status == 202:
        assert is_genuine([*GENUINE, *more], BODY)


@given(st.binary(max_size=300))
def test_any_signed_body(body: bytes) -> None:
    head = [*GENUINE[:2], (b"x-hiloop-signature", sign(SECRET, body).encode())]
    assert send(head, [body]).status in {202, 400, 422}


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_with_one_byte_changed(place: int, change: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= change
    assert send(GENUINE, [bytes(changed)]).status == 401


@given(st.lists(st.integers(1, len(BODY) - 1), max_size=5))
def test_however_a_body_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]
    cut = [BODY[start:end] for start, end in itertools.pairwise(places)]
    assert send(GENUINE, cut).status == 202
    assert send(GENUINE, cut[:-1], disconnects=True) is None


@given(st.integers(MAX_BODY - 3, MAX_BODY + 3), st.integers(1, 5))
def test_a_body_around_the_limit(size: int, number: int) -> None:
    body = BODY + b" " * (size - len(BODY))
    head = [*GENUINE[:2], (b"x-hiloop-signature", sign(SECRET, body).encode())]
    each = -(-size // number)
    asked = send(head, [body[start : start + each] for start in range(0, size, each)])
    assert asked.status == (202 if size <= MAX_BODY else 413)
