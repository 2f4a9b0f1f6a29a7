"""`/metrics` of real processes: it tells what was sent, whoever is asked, and says when Redis is away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import promql_parser
import pytest
import redis
import yaml
from starlette.requests import Request

from receiver.embedded import EmbeddedRedis
from receiver.metrics import Metrics
from tests.conftest import StartProcess
from tests.support.processes import CANARY, ROOT, Running, start_web, start_worker
from tests.support.scrape import METRICS, METRICS_TOKEN, Scrape, scrape
from tests.support.scripts import LAYOUT
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

HANDLER = "tests.support.handlers.act"
# What is sent, how often, and what becomes of it.
SENT = {"ok": 20, "fail": 3, "fail first": 4, "discard": 2, "later": 2}
ATTEMPTS = {"done": 20 + 4 + 2, "handler_error": 3 * 3 + 4, "discarded": 2, "retry_later": 2, "timeout": 0}


@dataclass(frozen=True, slots=True)
class Site:
    """Several web processes and workers over one Redis, after all that was sent has been handled."""

    webs: list[Running]
    workers: list[Running]

    def all_counted(self) -> Scrape | None:
        """A page, once the last that was to be counted has been."""
        page = scrape(self.webs[0].port)
        late = {
            "hiloop_handler_attempts_total": sum(ATTEMPTS.values()),
            "hiloop_requests_refused_total": 13,
            "hiloop_event_duration_seconds_count": sum(SENT.values()) - SENT["fail"],
            "hiloop_events_dead_total": SENT["fail"],
        }
        return page if all(page.value(name) >= number for name, number in late.items()) else None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with EmbeddedRedis() as server, ThreadPoolExecutor(4) as pool, ExitStack() as stack:

        def started(start: StartProcess, settings: Mapping[str, str]) -> Running:
            running = start(server.url, folder, settings)
            stack.callback(running.stop)
            return running

        webs = [started(start_web, {**METRICS, "WEB_CONCURRENCY": processes}) for processes in ("1", "2")]
        workers = [started(start_worker, {}) for _ in range(2)]
        whats = [what for what, number in SENT.items() for _ in range(number)]
        bodies = [answer({"do": what}, session_id=f"s-{n % 5}") for n, what in enumerate(whats)]
        statuses = list(pool.map(lambda pair: post(webs[pair[0] % 2].port, pair[1]).status, enumerate(bodies)))
        assert Counter(statuses) == {202: len(bodies)}
        for n in range(7):
            assert post(webs[n % 2].port, bodies[n]).status == 200
        for n in range(9):
            assert post(webs[n % 2].port, bodies[n], token="not-the-token").status == 401
        for n in range(4):
            assert post(webs[n % 2].port, b"no JSON").status == 400
        yield Site(webs, workers)


def test_it_tells_what_was_sent(site: Site) -> None:
    page = wait_until(site.all_counted, what="all is counted")
    total = sum(SENT.values())
    assert page.value("hiloop_up") == 1
    assert page.value("hiloop_events_accepted_total") == total
    assert page.value("hiloop_events_duplicate_total") == 7
    assert page.value("hiloop_events_handled_total") == total - SENT["fail"]
    assert page.value("hiloop_events_dead_total", reason="handler_error") == SENT["fail"]
    assert (
        page.value("hiloop_dead_letters", reason="handler_error") == page.value("hiloop_dead_letters") == SENT["fail"]
    )
    assert page.value("hiloop_dead_letter_bytes") > 1000
    assert page.value("hiloop_requests_refused_total", reason="bad_token") == 9
    assert page.value("hiloop_requests_refused_total", reason="invalid_event") == 4
    for outcome, number in ATTEMPTS.items():
        assert page.value("hiloop_handler_attempts_total", handler=HANDLER, outcome=outcome) == number
    assert page.value("hiloop_handler_retries_total") == 3 * 2 + 4 + 2
    assert page.value("hiloop_handler_duration_seconds_count", handler=HANDLER) == sum(ATTEMPTS.values())
    assert page.value("hiloop_event_duration_seconds_count") == total - SENT["fail"]
    assert 0 < page.value("hiloop_event_duration_seconds_sum") < 60 * total
    assert (page.value("hiloop_workers"), page.value("hiloop_worker_slots")) == (2, 200)
    assert (page.value("hiloop_queue_depth"), page.value("hiloop_events_in_flight")) == (0, 0)
    assert page.value("hiloop_redis_memory_used_bytes") > 100_000
    assert CANARY not in page.text


def test_every_process_tells_the_same(site: Site) -> None:
    wait_until(site.all_counted, what="all is counted")
    pages = [scrape(web.port).text for web in site.webs for _ in range(6)]

    def fixed(text: str) -> list[str]:
        return [line for line in text.splitlines() if "redis_memory" not in line]

    assert all(fixed(page) == fixed(pages[0]) for page in pages)


def test_it_is_for_those_who_have_the_token(site: Site, web: Running) -> None:
    port = site.webs[0].port
    page = scrape(port)
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    for token in (None, "", "metrics", "token-of-the-tests", "ü" * 20):
        refused = scrape(port, token=token)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "hiloop_" not in refused.text
    assert (scrape(port, method="HEAD").status, scrape(port, method="POST").status) == (200, 405)
    assert scrape(web.port).status == 404, "a process without a token has no such page"


def test_scrapes_at_once_share_one_read(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url, METRICS)
    with own_redis.client() as client:
        scrape(web.port)
        client.config_resetstat()
        scrape(web.port)
        one = commands(client)
        client.config_resetstat()
        own_redis_is_slow(client)
        with ThreadPoolExecutor(12) as pool:
            pages = list(pool.map(lambda _: scrape(web.port), range(12)))
        assert {page.value("hiloop_up") for page in pages} == {1}
        assert commands(client) < 4 * one, "12 scrapes were as many reads"


def own_redis_is_slow(client: redis.Redis) -> None:
    """Redis answers nobody for a moment, so that all who ask meanwhile meet."""
    client.client_pause(300)


def commands(client: redis.Redis) -> int:
    """How many commands that read keys were carried out."""
    return int(client.info("commandstats").get("cmdstat_llen", {}).get("calls", 0))


def expressions() -> list[str]:
    """Every expression of the ready dashboard and the alert rules, with Grafana's variables filled in."""
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text("utf-8"))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(found) > 50
    return [one.replace("$__rate_interval", "5m").replace("$job", ".*") for one in found]


def test_dashboard_and_alerts_name_only_what_is_there(site: Site) -> None:
    page = wait_until(site.all_counted, what="all is counted")
    samples = {sample.name: set(sample.labels) for family in page.families.values() for sample in family.samples}
    named = set()
    for expression in expressions():
        promql_parser.parse(expression)  # raises for what Prometheus would not take
        used = set(re.findall(r"\bhiloop_[a-z_]+", expression))
        assert used
        labels = {"job"}.union(*(samples[name] for name in used))
        for by in re.findall(r"\bby \(([^)]*)\)", expression):
            assert set(by.split(", ")) <= labels, expression
        named |= used
    unused = {name for name in samples if not name.endswith(("_sum", "_count", "_info"))} - named
    assert not unused, "nothing shows these"


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert "for" in rule or "increase(" in rule["expr"], "one bad scrape must wake nobody"


def test_panels_do_not_overlap() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_redis_away_is_told(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url, METRICS)
    assert scrape(web.port).value("hiloop_up") == 1
    own_redis.kill()
    page = scrape(web.port)
    assert (page.status, page.value("hiloop_up")) == (200, 0)
    assert set(page.families) == {"hiloop_up", "hiloop_build_info"}
    own_redis.start()
    wait_until(lambda: scrape(web.port).value("hiloop_up") == 1)
    assert "Traceback" not in web.log


def test_a_redis_that_hangs_does_not_hang_the_page(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url, METRICS)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        assert scrape(web.port).value("hiloop_up") == 0
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    wait_until(lambda: scrape(web.port).value("hiloop_up") == 1)


def test_a_slow_read_is_not_waited_for_and_is_the_next_ones(own_redis: EmbeddedRedis) -> None:
    request = Request({"type": "http", "headers": [(b"authorization", b"Bearer " + METRICS_TOKEN.encode())]})

    async def run(metrics: Metrics) -> None:
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            assert b"hiloop_up 0.0" in (await metrics.answer(request)).body
            reading = metrics._reading
            assert b"hiloop_up 0.0" in (await metrics.answer(request)).body
            assert metrics._reading is reading is not None
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        await reading
        assert metrics._reading is None

    with own_redis.client() as client:
        asyncio.run(run(Metrics(client, LAYOUT, (METRICS_TOKEN.encode(),), timeout=0.1)))


@pytest.mark.parametrize("key", ["counters", "handlers", "dead_reasons", "dead_bytes", "leases", "isolated"])
def test_a_hostile_redis_gives_a_page_all_the_same(redis_client: redis.Redis, key: str) -> None:
    metrics, name = Metrics(redis_client, LAYOUT, ()), LAYOUT.own(key)
    hostile = {"x" * 100_000: "9" * 5000, "refused:\n# HELP": "7", b"\xff": b"\xff", "ms:1": "-1"}
    pages = []
    for write in (
        lambda: redis_client.hset(name, mapping=hostile),
        lambda: redis_client.zadd(name, {b"\xff\n": 1}),
        lambda: redis_client.set(name, "9" * 5000),
    ):
        redis_client.delete(name)
        write()
        pages.append(metrics.page())
    for page in pages:
        assert Scrape(200, {}, page.decode()).value("hiloop_up") in (0, 1)
