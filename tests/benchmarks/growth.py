"""What accept, claim and close cost in Redis with few and with many events waiting, in one session or in many.

    python -m tests.benchmarks.growth

The scripts are called directly, one event at a time; the cost is Redis's own measure (INFO commandstats), the median
over interleaved rounds, so that a noisy machine hits all alike.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from contextlib import ExitStack
from typing import Any

from redis import Redis

from receiver.embedded import EmbeddedRedis
from receiver.layout import Layout, job_id
from receiver.scripts import load_script

LAYOUT = Layout()
BODY = "x" * 2000
META = "x" * 250
CASES = [(waiting, sessions) for waiting in (10, 1_000, 100_000) for sessions in (1, 10_000)]
ROUNDS, EVENTS = 15, 200


class Queue:
    """One server with events waiting in it."""

    def __init__(self, client: Redis, waiting: int, sessions: int) -> None:
        self.client = client
        self.sessions = sessions
        self.names = itertools.count()
        self.accept: Any = client.register_script(load_script(LAYOUT, "receiver", "accept"))
        self.advance: Any = client.register_script(load_script(LAYOUT, "workers", "advance"))
        for start in range(0, waiting, 100):
            self.accept(
                args=[604800, 1_000_000, *(part for _ in range(min(100, waiting - start)) for part in self.event())]
            )
        self.costs: dict[str, list[float]] = {"accept": [], "claim": [], "close": []}

    def event(self) -> list[str]:
        """Arguments of a new event."""
        number = next(self.names)
        name = f"evt_{number}"
        lane = f"s-{number % self.sessions}"
        return [name, job_id(name), lane, LAYOUT.queue, BODY, "sha256=", "response.created", META, "", ""]

    def round(self) -> None:
        """Accept, claim and close some events, and note what each of the three cost."""
        self.measure("accept", lambda: self.accept(args=[604800, 1_000_000, *self.event()]))
        held: list[Any] = []
        self.measure("claim", lambda: held.extend(self.advance(args=["w", 30000, 1, 0, 0])[1]), 1)
        # In one session only one event runs at a time: every further claim needs the close before it.
        for _ in range(EVENTS - 1):
            held.extend(self.step(held.pop(0)))
        self.costs["close"].append(self.mean())
        self.client.config_resetstat()
        self.advance(args=["w", 30000, 0, 0, 1, held[0][0], held[0][1], "done", 0, "", "", ""])

    def step(self, claimed: list[bytes]) -> Any:
        """Close one event and claim the next, as a worker does."""
        return self.advance(args=["w", 30000, 1, 0, 1, claimed[0], claimed[1], "done", 0, "", "", ""])[1]

    def measure(self, name: str, call: Any, times: int = EVENTS) -> None:
        """Note the mean cost of some calls."""
        self.client.config_resetstat()
        for _ in range(times):
            call()
        self.costs[name].append(self.mean())
        self.client.config_resetstat()

    def mean(self) -> float:
        """Microseconds a script took, on average, since the last reset."""
        return float(self.client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def main() -> int:
    """The command line."""
    with ExitStack() as stack:
        queues = {}
        for case in CASES:
            server = stack.enter_context(EmbeddedRedis(options={"appendonly": "no"}))
            queues[case] = Queue(stack.enter_context(server.client()), *case)
        for _ in range(ROUNDS):
            for queue in queues.values():
                queue.round()
        base = {}
        for (waiting, sessions), queue in queues.items():
            line = f"{waiting:>7} waiting, {sessions:>6} sessions:"
            for name, label in (("accept", "accept"), ("close", "close + claim")):
                cost = statistics.median(queue.costs[name])
                base.setdefault(name, cost)
                line += f"   {label} {cost:6.1f} µs ({cost / base[name]:.2f}×)"
            print(line)
        print("aim: within 1.2 times of the first line")
    return 0


if __name__ == "__main__":
    sys.exit(main())
