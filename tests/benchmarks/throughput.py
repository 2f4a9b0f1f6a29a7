"""How fast workers get through a full queue: ours beside RQ's `SimpleWorker` and `Worker`, alternating.

    python -m tests.benchmarks.throughput --rounds 2

Every event is verified, opened and handed to a handler that does nothing. Once on a local Redis, once with Redis 1 ms
away. Prints events a second, ratios, and how many scripts (round trips) ours needs an event.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from redis import Redis

from receiver.embedded import EmbeddedRedis, free_port
from receiver.layout import Layout
from tests.benchmarks.events import fill_ours, fill_rq, sealed_events
from tests.benchmarks.jobs import API_KEY
from tests.benchmarks.processes import SECRET, process

OURS = ["-m", "workers.cli", "worker"]
RQ = ["-m", "rq.cli", "worker", "plain", "--serializer", "json", "--quiet", "--burst", "--worker-class"]
KINDS = {"ours": OURS, "simple": [*RQ, "rq.worker.SimpleWorker"], "fork": [*RQ, "rq.worker.Worker"]}
COUNTS = {"ours": 20_000, "simple": 1_000, "fork": 300}
AWAY_COUNTS = {"ours": 20_000, "simple": 300, "fork": 120}


def drain(client: Redis, left: Callable[[], int], count: int) -> float:
    """Events a second, from the moment a tenth is done (the worker is up) until nothing is left."""
    while left() > count * 0.9:
        time.sleep(0.002)
    begun, first = time.perf_counter(), left()
    while (now_left := left()) > 0:
        time.sleep(0.002)
    return (first - now_left) / (time.perf_counter() - begun)


def measure(kind: str, redis: EmbeddedRedis, url: str, count: int, sessions: int) -> tuple[float, float]:
    """Events a second, and scripts an event (0 for RQ's workers)."""
    with redis.client() as client:
        client.flushall()
        events = sealed_events(count, sessions)
        (fill_ours if kind == "ours" else fill_rq)(redis.url, events)
        client.config_resetstat()
        environment = {
            "REDIS_URL": url,
            "RQ_REDIS_URL": url,
            "HILOOP_WEBHOOK_SECRET": SECRET,
            "HILOOP_API_KEY": API_KEY,
            "HILOOP_RECONCILE": "0",
            "HILOOP_HANDLERS": "tests.benchmarks.jobs",
            "HILOOP_LOG_LEVEL": "warning",
        }
        with process(KINDS[kind], environment):

            def left() -> int:
                if kind == "ours":
                    return count - int(client.hget(Layout().own("counters"), "handled") or 0)
                return client.llen("rq:queue:plain")

            rate = drain(client, left, count)
            scripts = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        return rate, scripts / count if kind == "ours" else 0.0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--only", choices=[*KINDS], action="append")
    options = parser.parse_args()
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis())
        port = free_port()
        stack.enter_context(process(["-m", "tests.benchmarks.slow_proxy", str(port), str(redis.port), "1"], {}))
        for place, url, counts, aim in (
            ("local", redis.url, COUNTS, 25),
            ("1 ms away", f"redis://127.0.0.1:{port}/0", AWAY_COUNTS, 100),
        ):
            rates: dict[str, list[float]] = {}
            for number in range(options.rounds):
                for kind in options.only or KINDS:
                    rate, scripts = measure(kind, redis, url, counts[kind], options.sessions)
                    rates.setdefault(kind, []).append(rate)
                    note = f"{scripts:.3f} scripts/event" if scripts else ""
                    print(f"{place}, round {number + 1}: {kind:<7} {rate:8.0f}/s {note}")
            middle = {kind: statistics.median(values) for kind, values in rates.items()}
            if {"ours", "simple"} <= set(middle):
                print(f"{place}: ours / SimpleWorker = {middle['ours'] / middle['simple']:.0f}   (aim: {aim})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
