"""The dashboard over HTTP, as an attacker or a proxy sees it: cookies, forms from elsewhere, many tries, headers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import redis

from receiver.dashboard.live import MOST_VIEWERS
from receiver.dashboard.throttle import TRIES, TRIES_OF_ALL
from receiver.embedded import EmbeddedRedis
from receiver.layout import Layout
from tests.conftest import StartProcess
from tests.support.processes import Running, start_web
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

TOKEN = "token-of-the-dashboard"
READ_TOKEN = "token-to-look-only-at-it"
SETTINGS = {"HILOOP_DASHBOARD_TOKEN": TOKEN, "HILOOP_DASHBOARD_READ_TOKEN": READ_TOKEN}
OURS = {"Sec-Fetch-Site": "same-origin"}
INSIDE = ["/", "/events", "/event?id=e", "/sessions", "/session?id=s", "/handlers", "/deliveries", "/orders",
          "/order?id=o", "/replay", "/discard", "/nowhere"]  # fmt: skip
ORDERS = ["/replay", "/discard", "/redeliver", "/look"]


@pytest.fixture(scope="module")
def dashboard(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start_web(redis_server.url, tmp_path_factory.mktemp("dashboard"), SETTINGS)
    yield running
    running.stop()
    assert "Traceback" not in running.log
    assert TOKEN not in running.log


@pytest.fixture
def client(dashboard: Running, redis_client: redis.Redis) -> Iterator[httpx.Client]:
    """A browser without anything in it; nobody has tried to log in."""
    with httpx.Client(base_url=f"http://127.0.0.1:{dashboard.port}/dashboard", timeout=10) as client:
        yield client


def log_in(client: httpx.Client, token: str = TOKEN, **headers: str) -> httpx.Response:
    return client.post("/login", data={"token": token, "name": "Ada"}, headers={**OURS, **headers})


def proof(client: httpx.Client) -> str:
    """What the forms of this session hold."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/events").text)
    assert found is not None
    return found[1]


def orders(redis_client: redis.Redis) -> int:
    waiting: Any = redis_client.llen(Layout().own("orders"))
    return int(waiting)


@pytest.mark.parametrize("path", INSIDE)
def test_without_a_login_there_is_nothing_to_see(client: httpx.Client, path: str) -> None:
    answered = client.get(path)
    assert (answered.status_code, answered.content) == (303, b"")
    assert answered.headers["location"].startswith("/dashboard/login")


def test_without_a_login_nothing_can_be_done(client: httpx.Client, redis_client: redis.Redis) -> None:
    assert [client.post(path, data={"status": "failed"}, headers=OURS).status_code for path in ORDERS] == [401] * 4
    assert client.get("/live").status_code == 401
    assert orders(redis_client) == 0


def test_cookies_are_strict(client: httpx.Client) -> None:
    plain = log_in(client).headers["set-cookie"]
    assert re.fullmatch(r"hiloop_dashboard=[\w.-]+; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict", plain)
    for headers in ({"X-Forwarded-Proto": "https"}, {"Origin": "https://agent.example"}):
        secure = log_in(client, **headers).headers["set-cookie"]
        assert re.fullmatch(
            r"__Host-hiloop_dashboard=[\w.-]+; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict; Secure", secure
        )


def test_every_answer_has_its_headers(client: httpx.Client) -> None:
    log_in(client)
    answers = [client.get(path) for path in (*INSIDE, "/login", "/static/nothing")]
    answers.append(client.post("/replay", headers=OURS))
    for one in answers:
        policy = one.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cache-control"] == "no-store"
        assert "<script>" not in one.text
        assert not re.search(r"<[^>]+ (style|on\w+)=", one.text)


def test_static_files_are_kept_and_named_after_their_content(client: httpx.Client) -> None:
    paths = re.findall(r'(?:href|src)="/dashboard(/static/[^"]+)"', client.get("/login").text)
    assert len(paths) >= 3
    for path in paths:
        one = client.get(path)
        assert (one.status_code, "immutable" in one.headers["cache-control"]) == (200, True)


@pytest.mark.parametrize("path", ORDERS)
def test_forms_from_elsewhere_are_refused(client: httpx.Client, redis_client: redis.Redis, path: str) -> None:
    log_in(client)
    form = {"status": "failed", "seen_at": "1", "ids": "x", "csrf": proof(client)}
    assert client.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(path, data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post(path, data=form).status_code == 403
    assert client.post(path, data={**form, "csrf": ""}, headers=OURS).status_code == 403
    assert client.post(path, data={**form, "csrf": "0" * 64}, headers=OURS).status_code == 403
    assert orders(redis_client) == 0


@pytest.mark.parametrize("path", ORDERS)
def test_who_may_only_look_orders_nothing(client: httpx.Client, redis_client: redis.Redis, path: str) -> None:
    assert log_in(client, READ_TOKEN).status_code == 303
    form = {"status": "failed", "seen_at": "1", "ids": "x", "csrf": proof(client)}
    assert client.post(path, data=form, headers=OURS).status_code == 403
    assert orders(redis_client) == 0


def test_an_order_is_written_and_shown(client: httpx.Client, redis_client: redis.Redis, dashboard: Running) -> None:
    log_in(client)
    form = {"status": "failed", "type": "a.*", "seen_at": "1800000000", "csrf": proof(client)}
    given = client.post("/replay", data=form, headers=OURS)
    assert given.status_code == 303
    assert orders(redis_client) == 1
    shown = client.get(given.headers["location"].removeprefix("/dashboard"))
    assert "No worker is running" in shown.text
    assert '<noscript><meta http-equiv="refresh"' in shown.text
    assert "by=Ada" in dashboard.log


def test_tries_from_one_place_are_few(client: httpx.Client) -> None:
    assert [log_in(client, "wrong").status_code for _ in range(TRIES)] == [401] * TRIES
    refused = log_in(client)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "set-cookie" not in refused.headers
    # Behind a router everybody has a place of his own.
    assert log_in(client, **{"X-Forwarded-For": "1.1.1.1, 198.51.100.7"}).status_code == 303


def test_tries_from_many_places_are_not_endless(client: httpx.Client, redis_client: redis.Redis) -> None:
    redis_client.set(Layout().own("logins:all"), TRIES_OF_ALL - 1, ex=60)
    assert log_in(client, "wrong", **{"X-Forwarded-For": "1.1.1.1"}).status_code == 401
    assert log_in(client, **{"X-Forwarded-For": "2.2.2.2"}).status_code == 429
    assert redis_client.ttl(Layout().own("logins:all")) <= 60


def test_who_has_logged_in_starts_over(client: httpx.Client) -> None:
    for _ in range(TRIES):
        assert log_in(client, "wrong").status_code == 401
        assert log_in(client).status_code == 303


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"x" * 20_000, "application/x-www-form-urlencoded"), (b"{}", "application/json"), (b"\xff", "")],
)
def test_forms_that_are_none(client: httpx.Client, content: bytes, kind: str) -> None:
    assert client.post("/login", content=content, headers={**OURS, "Content-Type": kind}).status_code == 400


def test_one_goes_on_where_one_wanted_and_nowhere_else(client: httpx.Client) -> None:
    asked = client.get("/events?type=a.*&status=failed")
    form = {"token": TOKEN, "next": httpx.URL(asked.headers["location"]).params["next"]}
    gone_on = client.post("/login", data=form, headers=OURS)
    assert gone_on.headers["location"] == "/dashboard/events?type=a.*&status=failed"
    form["next"] = "//evil.example"
    assert client.post("/login", data=form, headers=OURS).headers["location"] == "/dashboard/"


def test_odd_addresses_have_answers(client: httpx.Client) -> None:
    log_in(client)
    for path, status in {
        "/events?cursor=x": 400,
        "/events?status=nonsense&since=yesterday": 200,
        "/event?id=%00": 404,
        "/event?id=../..": 404,
        "/session": 404,
        "/session?id=%F0%9F%92%A9": 200,
        "/order?id=ord_x": 404,
        "/replay?status=running": 400,
        "/replay?id=" + "x" * 200: 400,
        "/?period=1y": 200,
        "/static/../app.py": 404,
    }.items():
        assert client.get(path).status_code == status, path
    bare = client.get(str(client.base_url).rstrip("/"))
    assert bare.headers["location"] == "/dashboard/"


def test_pages_are_told_what_is_new_and_let_go_at_a_stop(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, web_of: StartProcess
) -> None:
    running = web_of(redis_server.url, SETTINGS)
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{running.port}/dashboard", timeout=10))
        log_in(client)
        redis_client.config_resetstat()
        streams = [stack.enter_context(client.stream("GET", "/live")) for _ in range(MOST_VIEWERS)]
        assert client.get("/live").status_code == 503
        lines = [one.iter_lines() for one in streams]
        for each in lines:
            assert (
                next(line for line in each if line.startswith("data:"))
                == 'data: {"dead": 0, "waiting": 0, "running": 0}'
            )
        # One reading for all of them.
        assert redis_client.info("commandstats")["cmdstat_info"]["calls"] <= 3
        post(running.port, answer("x"))
        for line in lines[0]:
            if '"waiting": 1' in line:
                break
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 5, "open pages hold up the stop"


def test_without_a_token_there_is_no_dashboard(web: Running) -> None:
    assert httpx.get(f"http://127.0.0.1:{web.port}/dashboard/login").status_code == 404


def test_it_says_so_when_redis_is_away(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    running = web_of(own_redis.url, SETTINGS)
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}/dashboard", timeout=20) as client:
        assert log_in(client).status_code == 303
        own_redis.stop()
        away = client.get("/")
        assert (away.status_code, "Redis cannot be reached" in away.text) == (503, True)
        assert log_in(client).status_code == 503
        wait_until(lambda: "redis is not available" in running.log)
