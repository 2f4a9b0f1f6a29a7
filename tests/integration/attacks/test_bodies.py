"""Attacks by bodies: compressed, of lying length, too large, bombs, and every JSON that parsers read differently."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.support.processes import Running, start_web
from tests.support.scripts import nothing_accepted
from tests.support.wire import (
    answer,
    chunk,
    chunked_head,
    connect,
    exchange,
    genuine,
    post,
    read_reply,
    request_head,
    statuses_until_closed,
)

MAX_BODY = 65536  # what the shared web process is set to
BODY = answer("approve", event_id="evt_bodies")

COMPRESSED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY), "br": BODY, "identity": BODY, "": BODY}


@pytest.mark.parametrize(
    ("coding", "body"), COMPRESSED.items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_compressed_bodies(web: Running, redis_client: redis.Redis, coding: str, body: bytes) -> None:
    assert post(web.port, body, change={"Content-Encoding": coding}).status == 415
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_compressed_bodies_that_do_not_say_so(web: Running, redis_client: redis.Redis, compress: object) -> None:
    assert post(web.port, compress(BODY)).status == 400  # type: ignore[operator]  # one of two functions
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 202), (MAX_BODY + 1, 413)])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunked"])
def test_one_byte_over_the_limit(
    web: Running, redis_client: redis.Redis, size: int, status: int, in_chunks: bool
) -> None:
    body = BODY + b" " * (size - len(BODY))
    if in_chunks:
        raw = chunked_head(body) + chunk(body[:1000]) + chunk(body[1000:]) + chunk(b"")
        assert exchange(web.port, raw).status == status
    else:
        assert post(web.port, body).status == status
    assert redis_client.llen("rq:queue:hiloop") == (status == 202)


@pytest.mark.parametrize("length", [MAX_BODY + 1, 2**31, 2**63 - 1])
def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(web: Running, length: int) -> None:
    with connect(web.port) as connection:
        connection.sendall(request_head(genuine(b"", ("Content-Length", str(length)))))
        assert statuses_until_closed(connection) == [413]


def test_chunks_that_never_end(web: Running) -> None:
    with connect(web.port) as connection:
        connection.sendall(chunked_head(b"") + chunk(b" " * (MAX_BODY + 1)))  # and no end
        reply = read_reply(connection)
        assert (reply.status, reply.header("connection")) == (413, "close")
        assert statuses_until_closed(connection) == []


@pytest.fixture(scope="module")
def impatient(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A web process that waits for a body no longer than 300 ms."""
    running = start_web(redis_server.url, tmp_path_factory.mktemp("impatient"), {"HILOOP_BODY_TIMEOUT": "300ms"})
    yield running
    running.stop()


LYING = {
    "a length that is too long": request_head(genuine(BODY, ("Content-Length", str(len(BODY) + 1)))) + BODY,
    "a chunk that is too short": chunked_head(BODY) + b"%x\r\n" % (len(BODY) + 1) + BODY,
    "chunks without an end": chunked_head(BODY) + chunk(BODY),
}


@pytest.mark.parametrize("raw", LYING.values(), ids=LYING.keys())
def test_a_length_that_lies(impatient: Running, redis_client: redis.Redis, raw: bytes) -> None:
    with connect(impatient.port) as connection:
        connection.sendall(raw)
        assert statuses_until_closed(connection) == [408]
    assert nothing_accepted(redis_client)


def test_a_length_that_is_too_short(web: Running, redis_client: redis.Redis) -> None:
    with connect(web.port) as connection:
        connection.sendall(request_head(genuine(BODY, ("Content-Length", str(len(BODY) - 1)))) + BODY)
        assert statuses_until_closed(connection) == [401], "what is signed is not what was sent"
    assert nothing_accepted(redis_client)


NO_STRICT_JSON: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "cut off": b'{"a": "b"',
    "two objects": b"{}{}",
    "something behind": b"{} x",
    "a comment": b'{"a": 1} // b',
    "a comma too many": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a leading zero": b'{"a": 01}',
    "hexadecimal": b'{"a": 0x1}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": -Infinity}',
    "a number that overflows": b'{"a": 1e999}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "doubled keys": b'{"id": "a", "id": "b"}',
    "doubled keys, one escaped": b'{"id": "a", "\\u0069d": "b"}',
    "doubled keys, deep": b'{"a": [{"b": 1, "b": 1}]}',
    "a lone high surrogate": b'{"a": "\\ud800"}',
    "a lone low surrogate": b'{"a": "\\udc00x"}',
    "surrogates in the wrong order": b'{"a": "\\udc00\\ud800"}',
    "a lone surrogate in a key": b'{"\\ud800": 1}',
    "an encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "not UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16, little end first": '{"a": 1}'.encode("utf-16-le"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "UTF-7": '{"a": "é"}'.encode("utf-7").replace(b"{", b"+AHs-"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a NUL in front": b"\0{}",
    "a NUL behind": b"{}\0",
    "a NUL in a string": b'{"a": "\0"}',
    "a line feed in a string": b'{"a": "\n"}',
    "65 levels of lists": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "65 levels of objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "30,000 open lists": b'{"a":' + b"[" * 30_000,
    "10,000 open objects": b'{"a":' * 10_000,
}


@pytest.mark.parametrize("body", NO_STRICT_JSON.values(), ids=NO_STRICT_JSON.keys())
def test_signed_but_no_strict_json(web: Running, redis_client: redis.Redis, body: bytes) -> None:
    reply = post(web.port, body)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, "invalid_event")
    assert nothing_accepted(redis_client)


BAD_IDS: dict[str, object] = {
    "a path": "../../etc/passwd",
    "a slash": "a/b",
    "a backslash": "a\\b",
    "a line feed": "a\nb",
    "a line feed at the end": "evt_1\n",
    "a carriage return": "a\rb",
    "a NUL": "a\0b",
    "an escape": "\x1b[31m",
    "DEL": "a\x7f",
    "right to left": "\u202eevt",
    "zero width": "evt\u200b1",
    "digits of another script": "evt_\u0663",
    "a blank": "evt 1",
    "a brace": "{a}",
    "a star": "*",
    "a percent sign": "%2e",
    "empty": "",
    "129 characters": "a" * 129,
    "a number": 1,
    "true": True,
    "a list": ["a"],
    "an object": {"a": "b"},
}


@pytest.mark.parametrize("name", ["id", "eventId", "event_id"])
@pytest.mark.parametrize("value", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_ids_outside_their_alphabet(web: Running, redis_client: redis.Redis, name: str, value: object) -> None:
    assert post(web.port, json.dumps({name: value}).encode()).status == 400
    assert nothing_accepted(redis_client)


STRANGE_IDS = ["a:b", "a.b", "..", ".", "-", "x--", "x--a-c", "rq:queue:hiloop", "a" * 128, "__proto__"]


@pytest.mark.parametrize("event_id", STRANGE_IDS)
def test_strange_ids_touch_no_key_but_their_own(web: Running, redis_client: redis.Redis, event_id: str) -> None:
    assert post(web.port, json.dumps({"id": event_id}).encode()).status == 202
    assert post(web.port, json.dumps({"id": event_id}).encode()).status == 200
    (job,) = redis_client.lrange("rq:queue:hiloop", 0, -1)
    assert redis_client.keys("rq:job:*") == [b"rq:job:" + job]


STRANGE_SESSIONS = ["a\nb", "\0", "\u202e", "rq:queue:hiloop", "x" * 10_000, "é", "{", "*", "..", " "]


@pytest.mark.parametrize("session", STRANGE_SESSIONS, ids=ascii)
def test_strange_sessions_touch_no_key_but_their_own(web: Running, redis_client: redis.Redis, session: str) -> None:
    before = len(web.log)
    assert post(web.port, answer("approve", session_id=session)).status == 202
    assert len(redis_client.keys("hiloop:hiloop:lane:*")) == 1
    assert redis_client.llen("rq:queue:hiloop") == 1
    assert len(web.log[before:].splitlines()) == 1, "a value from outside forges no line of the log"
    assert web.log[before:].rstrip("\n").isprintable()


def test_bombs_of_10_mb_cost_little(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess
) -> None:
    web = web_of(redis_server.url, {"HILOOP_MAX_BODY": str(16 * 2**20)})
    size = 10 * 2**20
    bombs = [
        (b'{"a": ' + b"9" * size + b"}", 400),
        (b'{"a": 0.' + b"9" * size + b"}", 202),
        (b'{"a": -' + b"1" * size + b"}", 400),
        (b'{"a": ' + b"1" * size + b"e-9}", 400),
        (b'{"a":' + b"[" * size, 400),
        (b'{"a":' * (size // 5), 400),
        (b'{"a": "' + b"\\ud83d\\ude00" * (size // 12) + b'"}', 202),
    ]
    for body, status in bombs:
        started = time.monotonic()
        assert post(web.port, body).status == status, body[:20]
        assert time.monotonic() - started < 5
    assert exchange(web.port, request_head([], method="GET", path="/healthz")).status == 200
