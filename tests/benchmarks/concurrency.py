"""How many handlers run at once in one worker, and in how much memory: handlers that sleep for a second.

python -m tests.benchmarks.concurrency
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import ExitStack

from receiver.embedded import EmbeddedRedis
from receiver.layout import Layout
from receiver.signature import sign
from receiver.testing import webhook_body
from tests.benchmarks.events import fill_ours
from tests.benchmarks.jobs import API_KEY
from tests.benchmarks.processes import SECRET, process, pss_mb
from workers import OpenedEvent, on


@on("sleep.async")
async def sleep_async(event: OpenedEvent) -> None:
    """Wait as a handler does that calls a model."""
    await asyncio.sleep(1)


@on("sleep.plain")
def sleep_plain(event: OpenedEvent) -> None:
    """The same in a thread."""
    time.sleep(1)


def measure(kind: str, at_once: int) -> None:
    """Run three seconds' worth of events, and print what was seen at the peak."""
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis())
        client = stack.enter_context(redis.client())
        count = 3 * at_once
        bodies = [webhook_body(json.loads("{}"), type=f"sleep.{kind}", session_id=f"s-{n}") for n in range(count)]
        fill_ours(redis.url, [(body, sign(SECRET.encode(), body).encode()) for body in bodies])
        environment = {
            "REDIS_URL": redis.url,
            "HILOOP_WEBHOOK_SECRET": SECRET,
            "HILOOP_API_KEY": API_KEY,
            "HILOOP_RECONCILE": "0",
            "HILOOP_HANDLERS": "tests.benchmarks.concurrency",
            "HILOOP_LOG_LEVEL": "warning",
            "WORKER_CONCURRENCY": str(at_once),
        }
        worker = stack.enter_context(process(["-m", "workers.cli", "worker"], environment))
        start, peak, memory = 0.0, 0, 0.0
        while int(client.hget(Layout().own("counters"), "handled") or 0) < count:
            running = client.zcard(f"rq:wip:{Layout().queue}")
            start = start or (time.perf_counter() if running else 0.0)
            if running > peak:
                peak, memory = running, pss_mb(worker.pid)
            time.sleep(0.02)
        print(
            f"{kind:<6} {peak:5} at once, {count} events of 1 s in {time.perf_counter() - start:.1f} s, "
            f"PSS {memory:.0f} MB (of 512)"
        )


def main() -> int:
    """The command line."""
    measure("async", 1000)
    measure("plain", 200)
    print("aim: 1,000 async and 200 plain within 512 MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
