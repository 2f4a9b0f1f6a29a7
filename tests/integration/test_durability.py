"""HILOOP_DURABILITY: nothing is acknowledged before it is where it must be, and what is sent again waits as well."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from receiver.embedded import EmbeddedRedis
from tests.conftest import StartProcess
from tests.faults.proxy import RedisProxy
from tests.support.commands import run
from tests.support.failover import AT_ONCE, is_synced, replica_of
from tests.support.ledger import events
from tests.support.processes import SETTINGS, start
from tests.support.waiting import wait_until
from tests.support.wire import answer, post


@pytest.fixture
def primary() -> Iterator[EmbeddedRedis]:
    """A server of the test's own."""
    with EmbeddedRedis(options=AT_ONCE) as server:
        yield server


@pytest.fixture
def replica(primary: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    """A replica of the primary, in step with it."""
    with replica_of(primary) as server:
        wait_until(lambda: is_synced(server), 20, "the replica is in step")
        yield server


def counters(client: redis.Redis) -> dict[str, int]:
    """How many events were accepted, and how many were duplicates."""
    names = ("accepted", "duplicates")
    return {name: int(client.hget("hiloop:hiloop:counters", name) or 0) for name in names}


def post_all(port: int, bodies: list[bytes]) -> list[int]:
    """The statuses of all, sent at once."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda body: post(port, body).status, bodies))


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_what_is_acknowledged_on_disk_is_there_after_a_crash(policy: str, web_of: StartProcess) -> None:
    with EmbeddedRedis(options={"appendfsync": policy}) as server:
        web = web_of(server.url, {"HILOOP_DURABILITY": "disk"})
        bodies = [answer("approve", event_id=f"evt_{number}", session_id=f"s-{number}") for number in range(30)]
        assert post_all(web.port, bodies) == [202] * 30
        server.kill()
        server.start()
        with server.client() as client:
            assert all(client.exists(f"rq:job:evt_{number}") for number in range(30))
        assert post_all(web.port, bodies[:3]) == [200] * 3


def test_what_is_sent_again_waits_for_the_disk_too(primary: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(primary.url, {"HILOOP_DURABILITY": "disk"})
    with primary.client() as client:
        client.config_set("appendfsync", "no")  # nothing is ever confirmed
        body = answer("approve", event_id="evt_1")
        first = post(web.port, body)
        assert (first.status, int(first.header("retry-after")) > 0) == (503, True)
        assert counters(client) == {"accepted": 1, "duplicates": 0}, "Redis has it, but that is not enough"
        assert post(web.port, body).status == 503
        client.config_set("appendfsync", "always")
        assert post(web.port, body).status == 200
        assert counters(client) == {"accepted": 1, "duplicates": 2}
    assert "QueueUnavailable" in web.log
    assert "Traceback" not in web.log


def test_a_replica_that_hangs_and_comes_back(
    primary: EmbeddedRedis,
    replica: EmbeddedRedis,
    web_of: StartProcess,
    worker_of: StartProcess,
    tmp_path: Path,
) -> None:
    web = web_of(primary.url, {"HILOOP_DURABILITY": "replica"})
    worker_of(primary.url)
    bodies = [answer("approve", event_id=f"evt_{number}", session_id=f"s-{number}") for number in range(5)]
    assert post(web.port, bodies[0]).status == 202
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert post_all(web.port, bodies) == [503] * 5
        assert time.monotonic() - started < 10, "the platform waits no longer"
    finally:
        os.kill(replica.pid, signal.SIGCONT)
    assert set(post_all(web.port, bodies)) == {200}
    assert post(web.port, answer("approve", event_id="evt_5", session_id="s-5")).status == 202
    wait_until(lambda: len(events(tmp_path, "done")) == 6)
    assert sorted(events(tmp_path, "done")) == [f"evt_{number}" for number in range(6)]
    with replica.client() as client:
        assert client.exists("rq:job:evt_5")


def test_the_script_is_loaded_again_where_it_is_gone(
    primary: EmbeddedRedis, replica: EmbeddedRedis, web_of: StartProcess
) -> None:
    web = web_of(primary.url, {"HILOOP_DURABILITY": "replica"})
    for number in range(3):
        assert post(web.port, answer("approve", event_id=f"evt_{number}")).status == 202
        with primary.client() as client:
            client.script_flush()
    with primary.client() as client:
        assert counters(client)["accepted"] == 3


@pytest.mark.parametrize("durability", ["memory", "replica"])
def test_a_failover_to_a_replica_that_lags(durability: str, primary: EmbeddedRedis, web_of: StartProcess) -> None:
    """One name for whichever server is the primary, as hosted Redis has it. What no replica had is gone with the
    primary: an event that was acknowledged (`memory`), or one that the platform still sends (`replica`).
    """
    with (
        RedisProxy(primary.port) as lag,
        RedisProxy(primary.port) as endpoint,
        replica_of(primary, lag.port) as replica,
    ):
        wait_until(lambda: is_synced(replica), 20, "the replica is in step")
        web = web_of(endpoint.url, {"HILOOP_DURABILITY": durability})
        before, during = (answer("approve", event_id=name) for name in ("evt_before", "evt_during"))
        assert post(web.port, before).status == 202
        with replica.client() as client:
            wait_until(lambda: client.exists("rq:job:evt_before"))
            lag.delay = 60.0
            assert post(web.port, during).status == (202 if durability == "memory" else 503)
            primary.kill()
            client.replicaof("NO", "ONE")
            endpoint.upstream_port = replica.port
            assert not client.exists("rq:job:evt_during")
        primary.start()
        with primary.client() as client:
            client.replicaof("127.0.0.1", replica.port)
        wait_until(lambda: is_synced(primary), 20, "the old primary is a replica")
        assert post(web.port, during).status == 202, "the new primary does not know it"
        assert post(web.port, before).status == 200
        assert post(web.port, during).status == 200


def test_a_demoted_primary_is_left(primary: EmbeddedRedis, web_of: StartProcess, worker_of: StartProcess) -> None:
    """Behind one name the connections to the old primary may stay open: it answers READONLY from then on."""
    with RedisProxy(primary.port) as endpoint, replica_of(primary) as replica:
        wait_until(lambda: is_synced(replica), 20, "the replica is in step")
        web, worker = web_of(endpoint.url), worker_of(endpoint.url)
        assert post(web.port, answer("approve", event_id="evt_1")).status == 202
        endpoint.upstream_port = replica.port
        with replica.client() as new, primary.client() as old:
            wait_until(lambda: int(new.hget("hiloop:hiloop:counters", "handled") or 0) == 1)
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", replica.port)
            started = time.monotonic()
            assert post(web.port, answer("approve", event_id="evt_2")).status == 202
            wait_until(lambda: int(new.hget("hiloop:hiloop:counters", "handled") or 0) == 2)
            assert time.monotonic() - started < 5
            wait_until(lambda: new.pubsub_numsub(*new.pubsub_channels("hiloop:hiloop:wake:*")), 5)
            assert old.info("replication")["role"] == "slave"
    assert "Traceback" not in web.log + worker.log


def test_a_redis_that_can_never_do_it_stops_the_start(tmp_path: Path) -> None:
    with EmbeddedRedis(options={"appendonly": "no"}) as server:
        settings = {**SETTINGS, "REDIS_URL": server.url, "HILOOP_DURABILITY": "disk", "PORT": "1"}
        web = start(["-m", "workers.cli", "web"], tmp_path, "web", settings)
        assert web.wait(60) == 2
        assert "keeps no append-only file; set appendonly yes" in web.log
        assert "Traceback" not in web.log
        doctor = run("doctor", "--output", "json", env=settings)
    assert [row["level"] for row in doctor.rows if "HILOOP_DURABILITY=disk, but" in row["what"]] == ["problem"]


def test_doctor_tries_whether_redis_confirms(primary: EmbeddedRedis, replica: EmbeddedRedis) -> None:
    settings = {**SETTINGS, "REDIS_URL": primary.url}
    for durability in ("disk", "replica"):
        found = run("doctor", "--output", "json", env={**settings, "HILOOP_DURABILITY": durability}).rows
        assert any(row["level"] == "ok" and "confirms after" in row["what"] for row in found)
    replica.kill()
    with primary.client() as client:
        client.config_set("appendfsync", "no")
        wait_until(lambda: not client.info("replication")["connected_slaves"])
    for durability in ("disk", "replica"):
        found = run("doctor", "--output", "json", env={**settings, "HILOOP_DURABILITY": durability}).rows
        assert any(row["level"] == "problem" and "does not confirm" in row["what"] for row in found)
