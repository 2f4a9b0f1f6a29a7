"""The endpoint answers as the wire contract's table says: a real web process, a real server, real sockets."""

from __future__ import annotations

import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis

from receiver.testing import webhook_body
from tests.support.processes import Running
from tests.support.scripts import nothing_accepted
from tests.support.wire import (
    OLD_SECRET,
    OLD_TOKEN,
    SECRET,
    TOKEN,
    Reply,
    answer,
    exchange,
    post,
    request_head,
    signature,
)

MAX_BODY = 65536  # what the shared web process is set to
JSON = {"Content-Type": "application/json"}


def padded(size: int) -> bytes:
    """A valid body of exactly ``size`` bytes."""
    body = answer("approve")
    return body + b" " * (size - len(body))


def error_of(reply: Reply) -> str:
    """The code of an error; fails if the body is not of the documented shape."""
    error = json.loads(reply.body)["error"]
    assert error.keys() == {"code", "message"}
    assert error["message"]
    return str(error["code"])


def test_accepted_then_duplicate(web: Running, redis_client: redis.Redis) -> None:
    body = answer("approve", event_id="evt_1")
    first, second = post(web.port, body), post(web.port, body)
    assert (first.status, json.loads(first.body)) == (202, {"status": "accepted", "id": "evt_1"})
    assert (second.status, json.loads(second.body)) == (200, {"status": "duplicate", "id": "evt_1"})
    assert first.header("content-type") == "application/json"
    assert redis_client.llen("rq:queue:hiloop") == 1


def test_a_redelivery_is_a_duplicate_though_its_bytes_differ(web: Running, redis_client: redis.Redis) -> None:
    first = answer("approve", event_id="evt_1", attempt=1)
    second = answer("approve", event_id="evt_1", attempt=2)
    assert first != second
    assert [post(web.port, body).status for body in (first, second)] == [202, 200]
    assert redis_client.hget("rq:job:evt_1", "body") == first


def test_what_is_strange_is_not_refused(web: Running, redis_client: redis.Redis) -> None:
    for body in (b"{}", b'{"event_type": "moon.landed", "event_id": "a.b:c"}', b' {"a": [1, {"b": null}]} '):
        reply = post(web.port, body)
        assert reply.status == 202
    assert json.loads(reply.body)["id"].startswith("sha256_")


@pytest.mark.parametrize(("token", "secret"), [*itertools.product([TOKEN, OLD_TOKEN], [SECRET, OLD_SECRET])])
def test_rotation(web: Running, redis_client: redis.Redis, token: str, secret: str) -> None:
    assert post(web.port, answer("approve"), token=token, secret=secret).status == 202


BODY = answer("approve", event_id="evt_401")
UNAUTHORIZED: dict[str, dict[str, str | None]] = {
    "no token": {"Authorization": None},
    "wrong token": {"Authorization": "Bearer wrong-token-here"},
    "token without scheme": {"Authorization": TOKEN},
    "another scheme": {"Authorization": f"Basic {TOKEN}"},
    "empty token": {"Authorization": "Bearer "},
    "both tokens in one header": {"Authorization": f"Bearer {TOKEN}, Bearer {OLD_TOKEN}"},
    "not ASCII": {"Authorization": "Bearer é"},
    "no signature": {"X-Hiloop-Signature": None},
    "empty signature": {"X-Hiloop-Signature": ""},
    "wrong signature": {"X-Hiloop-Signature": "sha256=" + "0" * 64},
    "upper-case signature": {"X-Hiloop-Signature": signature(BODY).decode().upper().replace("SHA256", "sha256")},
    "signature of another body": {"X-Hiloop-Signature": signature(b"{}").decode()},
    "signature with another secret": {"X-Hiloop-Signature": signature(BODY, "another-secret").decode()},
    "truncated signature": {"X-Hiloop-Signature": signature(BODY).decode()[:-2]},
    "no prefix": {"X-Hiloop-Signature": signature(BODY).decode().removeprefix("sha256=")},
    "both wrong": {"Authorization": "Bearer wrong-token-here", "X-Hiloop-Signature": "sha256=" + "0" * 64},
    "neither": {"Authorization": None, "X-Hiloop-Signature": None},
}


def test_every_unauthorized_request_gets_the_same_answer(web: Running, redis_client: redis.Redis) -> None:
    replies = {name: post(web.port, BODY, change=change) for name, change in UNAUTHORIZED.items()}
    assert {name: reply.status for name, reply in replies.items()} == dict.fromkeys(UNAUTHORIZED, 401)
    assert len({(reply.body, reply.headers) for reply in replies.values()}) == 1
    reply = replies["neither"]
    assert error_of(reply) == "unauthorized"
    assert reply.header("www-authenticate") == "Bearer"
    assert nothing_accepted(redis_client)


def test_authorization_comes_before_parsing(web: Running, redis_client: redis.Redis) -> None:
    assert post(web.port, b"no json", change={"Authorization": None}).status == 401
    assert post(web.port, b"no json").status == 400


BAD_REQUESTS = {
    "no JSON": b"approve",
    "a list": b"[]",
    "doubled keys": b'{"id": "a", "id": "b"}',
    "NaN": b'{"a": NaN}',
    "not UTF-8": b'{"a": "\xff"}',
    "too deep": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "an id outside its alphabet": b'{"id": "a/b"}',
    "empty": b"",
}


@pytest.mark.parametrize("body", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_400(web: Running, redis_client: redis.Redis, body: bytes) -> None:
    reply = post(web.port, body)
    assert (reply.status, error_of(reply)) == (400, "invalid_event")
    assert nothing_accepted(redis_client)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_405(web: Running, method: str) -> None:
    reply = post(web.port, answer("approve"), method=method)
    assert (reply.status, error_of(reply), reply.header("allow")) == (405, "method_not_allowed", "POST")


def test_the_largest_body_is_accepted_and_one_byte_more_is_not(web: Running, redis_client: redis.Redis) -> None:
    assert post(web.port, padded(MAX_BODY)).status == 202
    reply = post(web.port, padded(MAX_BODY + 1))
    assert (reply.status, error_of(reply), reply.header("connection")) == (413, "payload_too_large", "close")


@pytest.mark.parametrize("length", [MAX_BODY + 1, 2**31, 2**63 - 1])
def test_413_is_known_before_the_body_is_sent(web: Running, length: int) -> None:
    reply = exchange(web.port, request_head([*JSON.items(), ("Content-Length", str(length))]))
    assert (reply.status, error_of(reply)) == (413, "payload_too_large")


CONTENT_TYPES: list[tuple[dict[str, str | None], int]] = [
    ({"Content-Type": "application/json"}, 202),
    ({"Content-Type": "application/json; charset=utf-8"}, 202),
    ({"Content-Type": "Application/JSON"}, 202),
    ({"Content-Type": "application/json ;charset=utf-8"}, 202),
    ({"Content-Type": None}, 415),
    ({"Content-Type": ""}, 415),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/jsonl"}, 415),
    ({"Content-Type": "application/json, text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Encoding": "gzip"}, 415),
    ({"Content-Encoding": ""}, 415),
]


@pytest.mark.parametrize(("change", "status"), CONTENT_TYPES)
def test_415(web: Running, redis_client: redis.Redis, change: dict[str, str | None], status: int) -> None:
    reply = post(web.port, answer("approve"), change=change)
    assert reply.status == status
    if status != 202:
        assert error_of(reply) == "unsupported_media_type"


@pytest.mark.parametrize(("days", "status"), [(8, 422), (6, 202), (-1, 202)])
def test_422(web: Running, redis_client: redis.Redis, days: int, status: int) -> None:
    reply = post(web.port, answer("approve", created_at=datetime.now(UTC) - timedelta(days=days)))
    assert reply.status == status
    if status == 422:
        assert error_of(reply) == "stale_event"


def test_health_and_readiness(web: Running) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        reply = exchange(web.port, request_head([], method="GET", path=path))
        assert (reply.status, json.loads(reply.body)) == (200, {"status": status})


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhooks/hiloop/", "/webhooks/hiloop/x", "/WEBHOOKS/HILOOP"])
def test_404(web: Running, path: str) -> None:
    assert exchange(web.port, request_head([("Content-Length", "0")], path=path)).status == 404


def test_what_was_accepted_is_complete(web: Running, redis_client: redis.Redis) -> None:
    event_id = f"evt.{uuid.uuid4().hex}"
    body = webhook_body(type="session.closed", session_id="s-1", event_id=event_id, priority="Critical")
    assert post(web.port, body).status == 202
    (job,) = redis_client.lrange("rq:queue:hiloop-critical", 0, -1)
    stored = redis_client.hgetall(b"rq:job:" + job)
    assert stored[b"body"] == body
    assert stored[b"signature"] == signature(body)
    assert stored[b"lane"] == b"s-1"


def test_the_log_shows_no_secret_and_no_content(web: Running, redis_client: redis.Redis) -> None:
    post(web.port, answer("canary-answer"))
    post(web.port, b'{"canary": tru}')
    post(web.port, answer("x"), change={"Authorization": "Bearer canary-token"})
    assert "accepted" in web.log
    for secret in ("canary", TOKEN, OLD_TOKEN, SECRET, OLD_SECRET, "Traceback"):
        assert secret not in web.log
