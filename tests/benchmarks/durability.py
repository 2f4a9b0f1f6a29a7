"""What HILOOP_DURABILITY costs: the same load with every choice, alternating, each on a server of its own.

    python -m tests.benchmarks.durability --rounds 3 --seconds 4

Needs `wrk` on PATH. Prints events a second and latencies (POST to answer) with few and with many requests at once, and
both beside those of `memory` in the same round. All servers share this machine's disk and processors.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from receiver.embedded import EmbeddedRedis, free_port
from tests.benchmarks.ingest import write_requests
from tests.benchmarks.processes import process, seconds_to_first_answer, web_environment
from tests.support.failover import is_synced, replica_of
from tests.support.waiting import wait_until

# Name → HILOOP_DURABILITY, appendfsync of the server, and whether it has a replica.
CHOICES = {
    "memory": ("memory", "everysec", False),
    "replica": ("replica", "everysec", True),
    "disk, appendfsync always": ("disk", "always", False),
    "disk, appendfsync everysec": ("disk", "everysec", False),
}
AT_ONCE = (1, 16, 256)
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def load(script: Path, port: int, seconds: int, at_once: int) -> tuple[float, float, float]:
    """Events a second, and the median and the 99th percentile of the latency in ms; fails if any was refused."""
    command = ["wrk", "-t1", f"-c{at_once}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", str(script)]
    output = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s))$", output, re.MULTILINE))
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    median, slowest = (_milliseconds(latencies[share]) for share in ("50", "99"))
    return float(rate[1]), median, slowest


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk's own format
    return float(number) * _UNITS[unit]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = write_requests(folder, options.seconds * 12_000)
        servers, ports = {}, {}
        for name, (durability, policy, has_replica) in CHOICES.items():
            server = servers[name] = stack.enter_context(EmbeddedRedis(options={"appendfsync": policy}))
            if has_replica:
                replica = stack.enter_context(replica_of(server))
                wait_until(lambda replica=replica: is_synced(replica), 20)
            ports[name] = free_port()
            environment = {**web_environment(server.url, ports[name]), "HILOOP_DURABILITY": durability}
            stack.enter_context(process(["-m", "receiver.web"], environment))
            seconds_to_first_answer(ports[name], "/")
        seen: dict[tuple[int, str], list[tuple[float, float, float]]] = defaultdict(list)
        for _ in range(options.rounds):
            for at_once in AT_ONCE:
                for name, server in servers.items():
                    with server.client() as client:
                        client.flushall()
                    seen[at_once, name].append(load(script, ports[name], options.seconds, at_once))
        for at_once in AT_ONCE:
            print(f"\n{at_once} requests at once")
            for name in CHOICES:
                rates, medians, slowest = zip(*seen[at_once, name], strict=True)
                shares = [
                    one[0] / memory[0] for one, memory in zip(seen[at_once, name], seen[at_once, "memory"], strict=True)
                ]
                print(
                    f"  {name:<28} {statistics.median(rates):7.0f}/s ({statistics.median(shares):5.1%} of memory)   "
                    f"{statistics.median(medians):7.1f} ms, 99 % within {statistics.median(slowest):7.1f} ms"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
