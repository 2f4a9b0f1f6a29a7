"""Whether the time of a 401 tells what was wrong: the token, the signature, or both.

    python -m tests.benchmarks.timing --rounds 20000

Requests of all kinds take turns in random order over one connection. For each pair of kinds it prints the difference of
the means of the faster nine tenths, and in how many standard errors that is (Welch's t; |t| < 4.5 is the usual bound
of leakage tests, ISO/IEC 17825). Two kinds are there to show that the measure works: the wrong token twice, which must
not differ, and requests that are refused before anything is verified, which must.
"""

from __future__ import annotations

import argparse
import math
import random
import socket
import statistics
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

from receiver.embedded import EmbeddedRedis
from receiver.testing import signed_headers
from tests.support.processes import start_web
from tests.support.wire import SECRET, TOKEN, answer, connect, read_reply, request_head

BOUND = 4.5
BODY = answer("approve")
RIGHT = {**signed_headers(BODY, token=TOKEN, secret=SECRET), "Content-Length": str(len(BODY))}
WRONG_TOKEN = {"Authorization": f"Bearer {TOKEN[:-1]}x"}
WRONG_SIGNATURE = {"X-Hiloop-Signature": RIGHT["X-Hiloop-Signature"][:-1] + "x"}
KINDS = {
    "wrong token": WRONG_TOKEN,
    "wrong token, again": WRONG_TOKEN,
    "token wrong from its start": {"Authorization": f"Bearer x{TOKEN[1:]}"},
    "wrong signature": WRONG_SIGNATURE,
    "signature wrong from its start": {"X-Hiloop-Signature": "x" + RIGHT["X-Hiloop-Signature"][1:]},
    "both wrong": WRONG_TOKEN | WRONG_SIGNATURE,
    "not verified (control)": {"Content-Type": "application/jsox"},
}


def measure(connection: socket.socket, rounds: int) -> dict[str, list[float]]:
    """Microseconds from the request to the first byte of its answer, for each kind."""
    requests = {kind: request_head([*{**RIGHT, **change}.items()]) + BODY for kind, change in KINDS.items()}
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    order = list(KINDS)
    for number in range(rounds + 200):
        random.shuffle(order)
        for kind in order:
            began = time.perf_counter_ns()
            connection.sendall(requests[kind])
            connection.recv(1, socket.MSG_PEEK)
            took = (time.perf_counter_ns() - began) / 1000
            reply = read_reply(connection)
            if reply.status not in (401, 415):
                raise RuntimeError(f"{kind}: {reply}")
            if number >= 200:  # warm by then
                taken[kind].append(took)
    return taken


def faster(values: list[float]) -> list[float]:
    """Without the slowest tenth, in which other processes had the processor."""
    return sorted(values)[: len(values) * 9 // 10]


def welch(one: list[float], other: list[float]) -> float:
    """The difference of two means in standard errors."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(error)


def main() -> int:
    """The command line; exits with 1 if a difference can be measured where none may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000)
    rounds = parser.parse_args().rounds
    with EmbeddedRedis() as redis, tempfile.TemporaryDirectory() as folder:
        web = start_web(redis.url, Path(folder), {"HILOOP_LOG_LEVEL": "error"})
        try:
            with connect(web.port) as connection:
                taken = {kind: faster(values) for kind, values in measure(connection, rounds).items()}
        finally:
            web.stop()
    failed = False
    for one, other in combinations(taken, 2):
        t = welch(taken[one], taken[other])
        difference = statistics.fmean(taken[one]) - statistics.fmean(taken[other])
        may_differ = "control" in other
        failed |= (abs(t) >= BOUND) != may_differ
        print(f"{difference:+7.2f} µs  t={t:+7.1f}  {one} / {other}")
    print("the time tells what it must not, or the measure is blind" if failed else "the time of a 401 tells nothing")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
