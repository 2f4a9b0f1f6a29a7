"""Start the processes that benchmarks compare, and measure what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

TOKEN, SECRET = "bench-token", "bench-secret"


@contextmanager
def process(arguments: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process of ours while the block does."""
    running = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment})
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)


def seconds_to_first_answer(port: int, path: str, timeout: float = 20.0) -> float:
    """Wait until a server answers; the time it took in seconds."""
    start = time.perf_counter()
    while time.perf_counter() - start < timeout:
        try:
            httpx.get(f"http://127.0.0.1:{port}{path}")
            return time.perf_counter() - start
        except httpx.TransportError:
            time.sleep(0.001)
    raise TimeoutError(f"nothing answers on port {port}")


def pss_mb(pid: int) -> float:
    """The proportional set size of a process in MB (smaps_rollup, proc(5))."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def web_environment(redis_url: str, port: int) -> dict[str, str]:
    """The environment of a web process under test."""
    return {
        "REDIS_URL": redis_url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "HILOOP_WEBHOOK_TOKEN": TOKEN,
        "HILOOP_WEBHOOK_SECRET": SECRET,
        "HILOOP_LOG_LEVEL": "warning",
    }
