"""How fast webhooks are taken in: ours beside a bare Starlette route and beside the plain way, alternating.

    python -m tests.benchmarks.ingest --rounds 3 --seconds 4

Needs `wrk` on PATH (Debian's package of that name). Prints throughput, its ratios, Redis calls an event, and for the
web processes the time from exec to the first answer and the memory (PSS).
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

from receiver.embedded import EmbeddedRedis, free_port
from receiver.signature import sign
from receiver.testing import webhook_body
from tests.benchmarks.processes import (
    SECRET,
    TOKEN,
    cpu_seconds,
    process,
    pss_mb,
    seconds_to_first_answer,
    web_environment,
)

BODY_BYTES = 2000
SCRIPT = """
local requests, count, at = {}, 0, 0
for line in io.lines("%s") do
  local signature, body = line:match("^(%%S+) (.*)$")
  count = count + 1
  requests[count] = {signature, body}
end
function request()
  at = at %% count + 1
  return wrk.format("POST", "/webhooks/hiloop", {["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer %s", ["X-Hiloop-Signature"] = requests[at][1]}, requests[at][2])
end
"""
KINDS = {
    "bare": ["-m", "tests.benchmarks.bare_app"],
    "plain": ["-m", "tests.benchmarks.plain_app"],
    "ours": ["-m", "receiver.web"],
}


def write_requests(folder: Path, count: int) -> Path:
    """Write wrk's script and ``count`` signed requests with ids of their own; returns the script's path."""
    with (folder / "requests").open("w") as file:
        for number in range(count):
            noise = base64.b64encode(os.urandom(760)).decode()
            data = {
                "response": {"id": "r", "messageId": "m", "encryptedResponse": {"ciphertext": noise, "wrappings": []}}
            }
            body = webhook_body(data, session_id=f"session-{number % 1000}", event_id=f"evt_{uuid.uuid4().hex}")
            body = body[:-1] + b', "padding": "%s"}' % (b"x" * (BODY_BYTES - len(body) - 15))
            file.write(f"{sign(SECRET.encode(), body)} {body.decode()}\n")
    script = folder / "load.lua"
    script.write_text(SCRIPT % (folder / "requests", TOKEN))
    return script


def load(script: Path, port: int, seconds: int) -> tuple[float, int]:
    """Requests a second and requests in all of one run of wrk; fails if any was refused."""
    output = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    rate, total = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"(\d+) requests in", output)
    if rate is None or total is None:
        raise RuntimeError(output)
    return float(rate[1]), int(total[1])


def start_costs(redis_url: str, rounds: int = 7) -> dict[str, tuple[float, float]]:
    """For bare and ours: median seconds from exec to the first answer, and PSS in MB then; starts alternate."""
    seen: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for kind, measured in seen.items():
            port = free_port()
            with process(KINDS[kind], web_environment(redis_url, port)) as started:
                measured.append((seconds_to_first_answer(port, "/"), pss_mb(started.pid)))
    return {
        kind: (statistics.median(seconds for seconds, _ in all_), statistics.median(pss for _, pss in all_))
        for kind, all_ in seen.items()
    }


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
        script = write_requests(folder, options.seconds * 16_000)
        redis = stack.enter_context(EmbeddedRedis())
        client = stack.enter_context(redis.client())
        starts = start_costs(redis.url)
        ports, pids = {}, {}
        for kind, arguments in KINDS.items():
            ports[kind] = free_port()
            started = stack.enter_context(process(arguments, web_environment(redis.url, ports[kind])))
            pids[kind] = started.pid
            seconds_to_first_answer(ports[kind], "/")
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(options.rounds):
            for kind in KINDS:
                client.flushall()
                client.config_resetstat()
                before = cpu_seconds(pids[kind])
                rate, total = load(script, ports[kind], options.seconds)
                rates[kind].append(rate)
                stats = client.info("commandstats")
                scripts = stats.get("cmdstat_evalsha", {}).get("calls", 0)
                cpu = (cpu_seconds(pids[kind]) - before) / total * 1e6
                print(
                    f"round {number + 1} {kind:<6} {rate:8.0f}/s {cpu:6.0f} µs CPU {scripts / total:6.2f} scripts/event"
                )
        middle = {kind: statistics.median(values) for kind, values in rates.items()}
        print(f"\nours / bare  = {middle['ours'] / middle['bare']:.2f}   (aim: at least 0.8)")
        print(f"ours / plain = {middle['ours'] / middle['plain']:.1f}   (aim: at least 5)")
        for kind, (seconds, pss) in starts.items():
            loaded = pss_mb(pids[kind])
            print(
                f"{kind:<6} first answer after {seconds * 1000:4.0f} ms, PSS {pss:.1f} MB, {loaded:.1f} MB after load"
            )
        slower, larger = (starts["ours"][part] / starts["bare"][part] for part in (0, 1))
        print(f"ours / bare  = {slower:.2f} in time, {larger:.2f} in memory   (aim: at most 1.3, and 45 MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
