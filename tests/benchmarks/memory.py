"""What one event takes in Redis in each of its states.

    python -m tests.benchmarks.memory --events 2000

Counted is the server's own measure (INFO memory, used_memory) before and after, in bytes an event, without the id that
is remembered against duplicates, which is shown by itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from redis import Redis

from receiver.embedded import EmbeddedRedis
from receiver.keeping import Keeping
from receiver.layout import Layout
from receiver.scripts import load_script
from tests.benchmarks.events import fill_ours, sealed_events

LAYOUT = Layout()
PROGRESS = '{"handlers.deploy.approve":[1,0.0,"done",12.3,"",[[1763836107123,12.3,"done"]]]}'
FAILED = ",".join(['[1763836107123,12.3,"handler_error"]'] * 6)
DEAD = f'{{"handlers.deploy.approve":[6,0.0,"dead",12.3,"handler_error",[{FAILED}]]}}'


def used(client: Redis) -> int:
    """Bytes the server's data takes now."""
    return int(client.info("memory")["used_memory"])


def close_all(client: Redis, keeping: Keeping, *ending: str) -> None:
    """Claim and close everything; ``ending``: verb, progress, reason, error."""
    advance: Any = client.register_script(load_script(LAYOUT, "workers", "advance", keeping))
    verb, progress, reason, error = ending
    while claimed := advance(args=["worker", 60_000, 64, 0, 0])[1]:
        closings: list[Any] = []
        for job, execution, *_ in claimed:
            closings += [job, execution, verb, 0, progress, reason, error]
        advance(args=["worker", 60_000, 0, 0, len(claimed), *closings])


def states() -> dict[str, Callable[[Redis], None]]:
    """What is done to waiting events in each case."""
    done = ("done", PROGRESS, "", "")
    dead = ("dead", DEAD, "handler_error", "RuntimeError at deploy.py:46 in approve")
    return {
        "waiting": lambda _client: None,
        "dead letter": lambda client: close_all(client, Keeping(), *dead),
        "handled": lambda client: close_all(client, Keeping(), *done),
        "handled, with body (HILOOP_KEEP_EVENTS=all)": lambda client: close_all(client, Keeping(bodies=True), *done),
        "handled, nothing kept (HILOOP_KEEP_HANDLED=0)": lambda client: close_all(client, Keeping(handled=0), *done),
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    options = parser.parse_args()
    events = sealed_events(options.events, sessions=options.events // 4)
    for name, act in states().items():
        # A fresh server each, and what it keeps for scripts and connections is there before it is measured.
        with EmbeddedRedis(options={"appendonly": "no"}) as server, server.client() as client:
            fill_ours(server.url, events[:64])
            act(client)
            client.flushall(asynchronous=False)
            empty = used(client)
            fill_ours(server.url, events)
            act(client)
            with_ids = used(client)
            for key in list(client.scan_iter(LAYOUT.own("seen:*"), count=1000)):
                client.delete(key)
            each = (used(client) - empty) / options.events
            ids = (with_ids - used(client)) / options.events
            print(f"{name:<46} {each:6.0f} bytes an event, and {ids:.0f} for its id")
    return 0


if __name__ == "__main__":
    sys.exit(main())
