"""From POST to the start of the handler when one event comes alone: ours beside a bare prototype, alternating.

    python -m tests.benchmarks.latency --events 200

The prototype verifies, pushes to a Redis list and answers; its worker pops, verifies, opens and calls. It keeps no
order, loses what it holds when it is killed, and knows no retries. Also prints ours' scripts an event.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from receiver.embedded import EmbeddedRedis, free_port
from receiver.testing import signed_headers
from tests.benchmarks.events import sealed_events
from tests.benchmarks.jobs import API_KEY
from tests.benchmarks.processes import SECRET, TOKEN, process, seconds_to_first_answer, web_environment

PAUSE = 0.02
KINDS = {
    "ours": (["-m", "receiver.web"], ["-m", "workers.cli", "worker"]),
    "prototype": (["-m", "tests.benchmarks.prototype", "web"], ["-m", "tests.benchmarks.prototype", "worker"]),
}


def starts(path: Path) -> dict[str, float]:
    """When each event's handler started."""
    return {line.split()[0]: float(line.split()[1]) for line in path.read_text().splitlines()}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        posts: dict[str, httpx.Client] = {}
        clients = {}
        for kind, (web, worker) in KINDS.items():
            redis = stack.enter_context(EmbeddedRedis())
            clients[kind] = stack.enter_context(redis.client())
            port = free_port()
            times = folder / kind
            times.touch()
            environment = {
                **web_environment(redis.url, port),
                "HILOOP_API_KEY": API_KEY,
                "HILOOP_RECONCILE": "0",
                "HILOOP_HANDLERS": "tests.benchmarks.jobs",
                "BENCH_TIMES": str(times),
            }
            stack.enter_context(process(web, environment))
            stack.enter_context(process(worker, environment))
            seconds_to_first_answer(port, "/")
            posts[kind] = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}"))
        sent: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
        before = 0
        for number, (body, _signature) in enumerate(sealed_events(options.events + 20, options.events)):
            event_id = body.split(b'"id": "', 1)[1].split(b'"', 1)[0].decode()
            headers = signed_headers(body, token=TOKEN, secret=SECRET)
            if number == 20:  # the first ones warm up
                for marks in sent.values():
                    marks.clear()
                before = scripts(clients["ours"])
            for kind in KINDS:
                sent[kind][event_id] = time.time()
                posts[kind].post("/webhooks/hiloop", content=body, headers=headers).raise_for_status()
                time.sleep(PAUSE)
        while any(len(starts(folder / kind)) < options.events + 20 for kind in KINDS):
            time.sleep(0.05)
        middle = {}
        for kind in KINDS:
            begun = starts(folder / kind)
            waits = sorted((begun[event] - at) * 1000 for event, at in sent[kind].items())
            middle[kind] = statistics.median(waits)
            print(f"{kind:<10} median {middle[kind]:5.2f} ms, p95 {waits[int(len(waits) * 0.95)]:5.2f} ms")
        print(f"ours / prototype = {middle['ours'] / middle['prototype']:.2f}   (aim: at most 1.3)")
        calls = (scripts(clients["ours"]) - before) / options.events
        print(f"ours: {calls - 1:.2f} worker scripts an event   (aim: at most 2)")
    return 0


def scripts(client: object) -> int:
    """How many scripts a server has run."""
    stats = client.info("commandstats")  # type: ignore[attr-defined]  # a redis client
    return int(stats["cmdstat_evalsha"]["calls"])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
