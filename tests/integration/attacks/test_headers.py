"""Attacks by headers: missing, empty, doubled, oversized, not ASCII; tokens and signatures in every wrong form."""

from __future__ import annotations

import pytest
import redis

from receiver.testing import signed_headers
from tests.support.processes import Running
from tests.support.scripts import nothing_accepted
from tests.support.wire import (
    SECRET,
    TOKEN,
    answer,
    chunked_head,
    connect,
    exchange,
    post,
    read_reply,
    request_head,
    signature,
    statuses_until_closed,
    with_length,
)

MAX_HEADERS = 16 * 1024
BODY = answer("approve", event_id="evt_headers")
GENUINE = {**signed_headers(BODY, token=TOKEN, secret=SECRET), "Content-Length": str(len(BODY))}
REFUSED = {"Authorization": 401, "X-Hiloop-Signature": 401, "Content-Type": 415}


def send(web: Running, headers: list[tuple[str, str]]) -> int:
    """The status that the genuine body gets under other headers."""
    return exchange(web.port, request_head(headers) + BODY).status


CHANGES = {
    "missing": lambda _: [],
    "empty": lambda _: [""],
    "blank": lambda _: [" \t "],
    "doubled": lambda value: [value, value],
    "doubled, the first wrong": lambda value: ["wrong", value],
    "doubled, the second wrong": lambda value: [value, "wrong"],
    "doubled, the second empty": lambda value: [value, ""],
    "twice in one": lambda value: [f"{value}, {value}"],
    "long": lambda value: [value + "x" * 8000],
    "Latin-1": lambda value: [value[:-1] + "\xe9"],
    "UTF-8": lambda value: [value[:-1] + "é".encode().decode("latin-1")],
    "every high byte": lambda _: ["".join(map(chr, range(0x80, 0x100)))],
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_header_that_is_not_exactly_right(web: Running, redis_client: redis.Redis, name: str, change: object) -> None:
    others = [(key, value) for key, value in GENUINE.items() if key != name]
    values = change(GENUINE[name])  # type: ignore[operator]  # the table's functions
    assert send(web, [*others, *((name, value) for value in values)]) == REFUSED[name]
    assert nothing_accepted(redis_client)


def test_a_header_doubled_in_another_case(web: Running, redis_client: redis.Redis) -> None:
    for name, status in REFUSED.items():
        assert send(web, [*GENUINE.items(), (name.upper(), GENUINE[name])]) == status
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_bearer_scheme_is_accepted_in_any_case(web: Running, redis_client: redis.Redis, scheme: str) -> None:
    assert post(web.port, BODY, change={"Authorization": f"{scheme} {TOKEN}"}).status == 202


TOKENS = {
    "upper case": f"Bearer {TOKEN.upper()}",
    "no scheme": TOKEN,
    "another scheme": f"Basic {TOKEN}",
    "two blanks": f"Bearer  {TOKEN}",
    "a tab": f"Bearer\t{TOKEN}",
    "quoted": f'Bearer "{TOKEN}"',
    "one character more": f"Bearer {TOKEN}x",
    "one character less": f"Bearer {TOKEN[:-1]}",
    "scheme only": "Bearer",
    "two tokens": f"Bearer {TOKEN} {TOKEN}",
}


@pytest.mark.parametrize("value", TOKENS.values(), ids=TOKENS.keys())
def test_the_token_is_accepted_in_one_form_only(web: Running, redis_client: redis.Redis, value: str) -> None:
    assert post(web.port, BODY, change={"Authorization": value}).status == 401
    assert nothing_accepted(redis_client)


DIGITS = signature(BODY).decode().removeprefix("sha256=")
SIGNATURES = {
    "SHA256=": f"SHA256={DIGITS}",
    "Sha256=": f"Sha256={DIGITS}",
    "no prefix": DIGITS,
    "another algorithm": f"sha1={DIGITS}",
    "prefix twice": f"sha256=sha256={DIGITS}",
    "a colon": f"sha256:{DIGITS}",
    "a blank after =": f"sha256= {DIGITS}",
    "a blank before =": f"sha256 ={DIGITS}",
    "a blank within": f"sha256={DIGITS[:32]} {DIGITS[32:]}",
    "63 digits": f"sha256={DIGITS[:-1]}",
    "65 digits": f"sha256={DIGITS}0",
    "128 digits": f"sha256={DIGITS}{DIGITS}",
    "no digits": "sha256=",
    "upper-case digits": f"sha256={DIGITS.upper()}",
    "base64": "sha256=" + "A" * 43 + "=",
    "quoted": f'"sha256={DIGITS}"',
    "zeros": "sha256=" + "0" * 64,
}


@pytest.mark.parametrize("value", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_the_signature_is_accepted_in_one_form_only(web: Running, redis_client: redis.Redis, value: str) -> None:
    assert post(web.port, BODY, change={"X-Hiloop-Signature": value}).status == 401
    assert nothing_accepted(redis_client)


def padded_head(size: int, lines: int = 1) -> bytes:
    """A genuine head whose request line's target and header lines take ``size`` bytes in all."""
    pairs = [("Host", "test"), *GENUINE.items()]  # `request_head` adds the first
    size -= len("/webhooks/hiloop") + sum(len(name) + len(value) + 4 for name, value in pairs)
    each = size // lines
    padding = [(f"X-{number:05d}", "x" * (each - 11)) for number in range(lines - 1)]
    padding.append(("X-99999", "x" * (size - each * (lines - 1) - 11)))
    return request_head([*GENUINE.items(), *padding])


@pytest.mark.parametrize("lines", [1, 500], ids=["one large header", "many headers"])
@pytest.mark.parametrize(("size", "status"), [(MAX_HEADERS, 202), (MAX_HEADERS + 1, 431)])
def test_the_largest_headers_are_accepted_and_one_byte_more_is_not(
    web: Running, redis_client: redis.Redis, size: int, status: int, lines: int
) -> None:
    reply = exchange(web.port, padded_head(size, lines) + BODY)
    assert reply.status == status
    if status == 431:
        assert b"headers_too_large" in reply.body
        assert reply.header("connection") == "close"
        assert nothing_accepted(redis_client)


ENDLESS = {
    "headers": (b"POST /webhooks/hiloop HTTP/1.1\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"),
    "one header": (b"POST /webhooks/hiloop HTTP/1.1\r\nX: ", b"x" * 1000),
    "one header's name": (b"POST /webhooks/hiloop HTTP/1.1\r\n", b"x" * 1000),
    "a target": (b"POST /", b"x" * 1000),
    "trailers": (chunked_head(b"") + b"0\r\n", b"x: y\r\n" * 100),
    "one trailer": (chunked_head(b"") + b"0\r\nx: ", b"y" * 1000),
    "a chunk's extension": (chunked_head(b"") + b"2;a=", b"b" * 1000),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_never_ends_is_given_up(web: Running, redis_client: redis.Redis, start: bytes, more: bytes) -> None:
    with connect(web.port) as connection:
        connection.sendall(start)
        sent = 0
        try:
            while sent < 20 * 1024 * 1024:
                connection.sendall(more)
                sent += len(more)
        except (ConnectionResetError, BrokenPipeError):
            pass
        # A read of the server's, what is in the buffers of both sides, and no more.
        assert sent < 10 * 1024 * 1024
    assert nothing_accepted(redis_client)


def test_too_many_headers_behind_a_request_that_is_being_answered(web: Running, redis_client: redis.Redis) -> None:
    with connect(web.port) as connection:
        connection.sendall(with_length(BODY) + padded_head(MAX_HEADERS + 1))
        assert statuses_until_closed(connection) == [202], "the answer belongs to the first request"
    assert redis_client.llen("rq:queue:hiloop") == 1


def test_trailers_are_no_headers(web: Running, redis_client: redis.Redis) -> None:
    head = request_head(
        [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"), ("Authorization", f"Bearer {TOKEN}")]
    )
    body = b"%x\r\n%s\r\n0\r\nX-Hiloop-Signature: %s\r\n\r\n" % (len(BODY), BODY, signature(BODY))
    with connect(web.port) as connection:
        connection.sendall(head + body)
        assert read_reply(connection).status == 401
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\x01", b"\x7f"])
def test_control_characters_in_a_header(web: Running, redis_client: redis.Redis, byte: bytes) -> None:
    raw = with_length(BODY, ("X-Strange", "a~b")).replace(b"a~b", b"a" + byte + b"b")
    assert exchange(web.port, raw).status == 400
    assert nothing_accepted(redis_client)
