"""A Redis Cluster is refused at the start with what to do, since one script needs all keys of a queue on one node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from receiver.embedded import EmbeddedRedis, free_port
from receiver.layout import Layout
from receiver.scripts import load_script
from tests.support.commands import run
from tests.support.processes import SETTINGS, WORKER_SETTINGS, start
from tests.support.waiting import wait_until

SLOTS = 16384


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[EmbeddedRedis]]:
    """Three nodes that share the slots."""
    with ExitStack() as stack:
        buses = [free_port() for _ in range(3)]
        options = [{"cluster-enabled": "yes", "cluster-port": str(bus)} for bus in buses]
        nodes = [stack.enter_context(EmbeddedRedis(options=one)) for one in options]
        clients: list[Any] = [stack.enter_context(node.client()) for node in nodes]
        for number, client in enumerate(clients):
            first, behind = SLOTS * number // 3, SLOTS * (number + 1) // 3
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, behind - 1)
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, buses[0])
        wait_until(lambda: all(one.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for one in clients), 60)
        yield nodes


def test_no_node_can_accept_an_event(cluster: list[EmbeddedRedis]) -> None:
    event = ["evt_1", "evt_1", "lane", "hiloop", "body", "signature", "type", "{}", ""]
    for node in cluster:
        with node.client() as client, pytest.raises(redis.ResponseError, match=r"same slot|non local key"):
            client.eval(load_script(Layout(), "receiver", "accept"), 0, "3600", *event)


@pytest.mark.parametrize("process", ["web", "worker"])
def test_processes_say_so_at_their_start(cluster: list[EmbeddedRedis], process: str, tmp_path: Path) -> None:
    settings = {**WORKER_SETTINGS, "REDIS_URL": cluster[0].url, "PORT": "1", "LEDGER": str(tmp_path / "ledger")}
    running = start(["-m", "workers.cli", process], tmp_path, process, settings)
    assert running.wait(60) == 2
    assert "REDIS_URL leads to a Redis Cluster" in running.log
    assert "without cluster mode" in running.log
    assert "Traceback" not in running.log


def test_doctor_says_so(cluster: list[EmbeddedRedis]) -> None:
    found = run("doctor", "--output", "json", env={**SETTINGS, "REDIS_URL": cluster[0].url}).rows
    (problem,) = [row for row in found if "Redis Cluster" in row["what"]]
    assert problem["level"] == "problem"
    assert "without cluster mode" in problem["mend"]
