"""What one process takes and gives: the numbers behind deploy/capacity.md.

    python -m tests.benchmarks.capacity --webs 2 --workers 3

Needs `wrk` on PATH. Processor time an event is what a busy machine does not change much; events a second it does, so
they are computed from it. Every event is 2 kB, sealed, verified, opened and handed to a handler that waits.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from redis import Redis

from receiver.embedded import EmbeddedRedis, free_port
from receiver.layout import Layout
from tests.benchmarks.events import fill_ours, sealed_events
from tests.benchmarks.ingest import SCRIPT
from tests.benchmarks.jobs import API_KEY
from tests.benchmarks.processes import (
    SECRET,
    TOKEN,
    cpu_seconds,
    process,
    pss_mb,
    seconds_to_first_answer,
    web_environment,
)
from tests.support.waiting import wait_until

WEB, WORKER = ["-m", "receiver.web"], ["-m", "workers.cli", "worker"]
HANDLER_SECONDS = (0.0, 0.01, 0.1, 1.0)
CONCURRENCY = 100
COUNTERS = Layout().own("counters")


def worker_environment(redis_url: str, handler_seconds: float) -> dict[str, str]:
    """The environment of a worker process under test."""
    return {
        "REDIS_URL": redis_url,
        "HILOOP_WEBHOOK_SECRET": SECRET,
        "HILOOP_API_KEY": API_KEY,
        "HILOOP_BASE_URL": "http://127.0.0.1:9",  # comparing with the platform costs a connection, though none is there
        "HILOOP_HANDLERS": "tests.benchmarks.jobs",
        "HILOOP_LOG_LEVEL": "warning",
        "WORKER_CONCURRENCY": str(CONCURRENCY),
        "BENCH_HANDLER_SECONDS": str(handler_seconds),
    }


def counter(client: Redis, name: str) -> int:
    """One of the totals."""
    return int(client.hget(COUNTERS, name) or 0)


def redis_cpu(client: Redis) -> float:
    """Processor seconds Redis has used."""
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def connections(pid: int, port: int) -> int:
    """How many connections a process has to the server on ``port``."""
    return sum(one.raddr != () and one.raddr.port == port for one in psutil.Process(pid).net_connections())


def rss_mb(pid: int) -> float:
    """The resident set size in MB: what platforms count."""
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


class Peak(threading.Thread):
    """Watches how many connections Redis has, but for its own, and those of single processes."""

    def __init__(self, server: EmbeddedRedis, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self.all = 0
        self.of = dict.fromkeys(pids, 0)
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._over.wait(0.1):
            for pid in self.of:
                self.of[pid] = max(self.of[pid], connections(pid, self._server.port))
            self.all = max(self.all, sum(connections(pid, self._server.port) for pid in self.of))

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join()


def write_load(folder: Path, name: str, events: list[tuple[bytes, bytes]]) -> Path:
    """wrk's script that sends these events; returns its path."""
    requests = folder / f"{name}.requests"
    requests.write_text("".join(f"{signature.decode()} {body.decode()}\n" for body, signature in events))
    script = folder / f"{name}.lua"
    script.write_text(SCRIPT % (requests, TOKEN))
    return script


def send(script: Path, port: int, seconds: int, at_once: int) -> subprocess.Popen[bytes]:
    """Start wrk."""
    arguments = ["-t1", f"-c{at_once}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    return subprocess.Popen(["wrk", *arguments], stdout=subprocess.DEVNULL)


def measure_web(folder: Path, seconds: int) -> None:
    """One web process, with requests one by one and many at once."""
    script = write_load(folder, "web", sealed_events(seconds * 10_000, 1000))
    for at_once in (1, 16, 256):
        with EmbeddedRedis() as server, server.client() as client:
            port = free_port()
            with process(WEB, web_environment(server.url, port)) as web:
                seconds_to_first_answer(port, "/")
                idle = rss_mb(web.pid)
                before, redis_before, started = cpu_seconds(web.pid), redis_cpu(client), time.perf_counter()
                send(script, port, seconds, at_once).wait()
                took, count = time.perf_counter() - started, counter(client, "accepted")
                cpu = (cpu_seconds(web.pid) - before) / count * 1e6
                of_redis = (redis_cpu(client) - redis_before) / count * 1e6
                told = f"{cpu:5.0f} µs an event, Redis {of_redis:4.0f} µs; {count / took:6.0f}/s here"
                memory = f"RSS {idle:.0f} MB idle, {rss_mb(web.pid):.0f} MB now (PSS {pss_mb(web.pid):.0f} MB)"
                print(f"web, {at_once:>3} at once: {told}; {memory}")


def measure_worker(events: list[tuple[bytes, bytes]]) -> None:
    """One worker process over a full queue, with handlers that take longer and longer."""
    for handler_seconds in HANDLER_SECONDS:
        count = min(len(events), int(CONCURRENCY * 8 / handler_seconds) if handler_seconds else len(events))
        with EmbeddedRedis() as server, server.client() as client:
            fill_ours(server.url, events[:count])
            with process(WORKER, worker_environment(server.url, handler_seconds)) as worker:
                wait_until(lambda client=client, count=count: counter(client, "handled") > count / 10, 60)
                first, started = counter(client, "handled"), time.perf_counter()
                before, redis_before = cpu_seconds(worker.pid), redis_cpu(client)
                wait_until(lambda client=client, count=count: counter(client, "handled") == count, 120)
                took, done = time.perf_counter() - started, count - first
                cpu = (cpu_seconds(worker.pid) - before) / done * 1e6
                of_redis = (redis_cpu(client) - redis_before) / done * 1e6
                told = f"{cpu:5.0f} µs an event, Redis {of_redis:4.0f} µs; {done / took:6.0f}/s here"
                memory = f"RSS {rss_mb(worker.pid):.0f} MB (PSS {pss_mb(worker.pid):.0f} MB)"
                print(f"worker, handlers of {handler_seconds * 1000:4.0f} ms: {told}; {memory}")


def measure_together(folder: Path, webs: int, workers: int, seconds: int) -> None:
    """Several processes of both kinds at once, from POST to handled."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis())
        client = stack.enter_context(server.client())
        ports = [free_port() for _ in range(webs)]
        started_webs = [stack.enter_context(process(WEB, web_environment(server.url, port))) for port in ports]
        environment = worker_environment(server.url, 0.01)
        started_workers = [stack.enter_context(process(WORKER, environment)) for _ in range(workers)]
        for port in ports:
            seconds_to_first_answer(port, "/readyz")
        wait_until(lambda: client.scard("rq:workers") == workers, 30)
        scripts = [write_load(folder, f"part-{number}", sealed_events(seconds * 3_000, 1000)) for number in range(webs)]
        pids = [one.pid for one in (*started_webs, *started_workers)]
        peak = Peak(server, pids)
        peak.start()
        before, redis_before = {pid: cpu_seconds(pid) for pid in pids}, redis_cpu(client)
        loads = [send(script, port, seconds, 8) for script, port in zip(scripts, ports, strict=True)]
        for port in ports:
            seconds_to_first_answer(port, "/readyz")
        for load in loads:
            load.wait()
        wait_until(lambda: counter(client, "handled") == counter(client, "accepted"), 120)
        peak.stop()
        count = counter(client, "handled")
        used = {pid: cpu_seconds(pid) - before[pid] for pid in pids}
        print(f"\n{webs} web processes and {workers} workers: {count} events, each accepted and handled once")
        for name, processes in (("web", started_webs), ("worker", started_workers)):
            cpu = sum(used[one.pid] for one in processes) / count * 1e6
            memory = max(rss_mb(one.pid) for one in processes)
            most = max(peak.of[one.pid] for one in processes)
            print(
                f"  {name:<7} {cpu:5.0f} µs an event, RSS at most {memory:.0f} MB, connections at most {most} a process"
            )
        of_redis = (redis_cpu(client) - redis_before) / count * 1e6
        print(f"  Redis   {of_redis:5.0f} µs an event; connections at most {peak.all}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_web(folder, options.seconds)
        measure_worker(sealed_events(20_000, 1000))
        measure_together(folder, options.webs, options.workers, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
