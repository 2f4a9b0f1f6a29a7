"""Send events through real processes while they are killed, stopped and starved; then count what came of them.

    python -m tests.faults.run_faults --minutes 10 --seed 7

Passes when nothing acknowledged is lost, nothing comes out that was not sent, no session is out of order, there are
no more duplicates than kills, and everything is drained within 60 s after the last fault.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from receiver.embedded import EmbeddedRedis, free_port
from receiver.layout import Layout
from receiver.testing import signed_headers, webhook_body
from tests.faults.ledger import Ledger, Verdict, judge
from tests.faults.proxy import POINTS, RedisProxy

TOKEN, SECRET = "fault-token", "fault-secret"
DRAIN_SECONDS = 60.0
LEASE = "1s"


@dataclass
class Plan:
    """What to do.

    ``events``: goes on until so many are acknowledged. ``rate``: events a second over all sessions. ``poison``: share
    of events that kill their worker. ``faults``: names of faults to choose from, all if empty. ``fault_every``: seconds
    between two, about. ``settings``: of the processes, beyond the usual ones.
    """

    seconds: float
    seed: int
    events: int = 0
    rate: float = 60.0
    sessions: int = 20
    webs: int = 1
    workers: int = 2
    poison: float = 0.0
    fault_every: float = 1.5
    faults: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What came of it."""

    verdict: Verdict
    kills: int
    faults: Counter[str]
    drained_after: float
    dead: dict[str, str]
    poison: set[str] = field(default_factory=set)

    @property
    def excess(self) -> list[str]:
        """Of duplicates: a kill repeats what is between effect and closing. On a machine that has nothing else to do
        and at usual rates that is one event at most; each must have a kill that explains it in any case (`problems`).
        """
        number = self.verdict.duplicates
        return [f"{number} duplicates after {self.kills} kills"] if number > self.kills else []

    @property
    def problems(self) -> list[str]:
        """Why it did not pass; empty if it did."""
        verdict = self.verdict
        found = [
            f"{len(items)} {name}: {items[:5]}"
            for name, items in (
                ("lost", verdict.lost),
                ("unexpected", verdict.unexpected),
                ("inversions", verdict.inversions),
                ("duplicates that no kill explains", verdict.unexplained),
            )
            if items
        ]
        if self.drained_after > DRAIN_SECONDS:
            found.append(f"not drained {self.drained_after:.0f} s after the last fault")
        wrong = {job: reason for job, reason in self.dead.items() if reason != "worker_lost" or job not in self.poison}
        if wrong:
            found.append(f"{len(wrong)} dead letters that should not be: {list(wrong.items())[:5]}")
        if missing := self.poison - set(self.dead):
            found.append(f"{len(missing)} poison events that are no dead letters: {sorted(missing)[:5]}")
        return found


class Stage:
    """The processes under test: Redis, a proxy in front of it, web processes and workers."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.random = random.Random(plan.seed)
        self.ledger = Ledger(folder)
        self.redis = EmbeddedRedis()
        self.proxy: RedisProxy
        self.ports = [free_port() for _ in range(plan.webs)]
        self.killed: set[int] = set()
        self.log = (folder / "processes.log").open("ab")
        self.webs: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start everything."""
        self.redis_url = self.start_redis()
        self.webs = [self._spawn("web", port) for port in self.ports]
        self.workers = [self._spawn("worker") for _ in range(self.plan.workers)]
        threading.Thread(target=self._keep_alive, daemon=True).start()
        for port in self.ports:
            _wait_until_ready(port)

    def start_redis(self) -> str:
        """Start what stores the events; returns the address to give to the processes."""
        self.redis.start()
        self.proxy = RedisProxy(self.redis.port).__enter__()
        return self.proxy.url

    def stop_redis(self) -> None:
        """Stop it."""
        self.proxy.__exit__(None, None, None)
        self.redis.stop()

    def client(self) -> redis.Redis:
        """A client of what stores the events."""
        return self.redis.client()

    def stop(self) -> None:
        """Stop everything."""
        self.closing.set()
        with self._lock:
            for process in [*self.webs, *self.workers]:
                process.kill()
                process.wait()
        self.stop_redis()
        self.log.close()

    def _spawn(self, command: str, port: int = 0) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "HILOOP_WEBHOOK_TOKEN": TOKEN,
            "HILOOP_WEBHOOK_SECRET": SECRET,
            "HILOOP_API_KEY": "hlp_" + "5" * 64,
            "HILOOP_HANDLERS": "tests.faults.fault_handlers",
            "HILOOP_LEASE": LEASE,
            "HILOOP_RECONCILE": "0",
            "HILOOP_SHUTDOWN_GRACE": "1s",
            "HILOOP_RETRY_BASE": "50ms",
            "HILOOP_RETRY_MAX": "200ms",
            "WORKER_CONCURRENCY": "20",
            "FAULT_LEDGER": str(self.folder),
            **self.plan.settings,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "workers.cli", command], env=environment, stdout=self.log, stderr=self.log
        )

    def _keep_alive(self) -> None:
        """Start again what has died, as a platform does."""
        while not self.closing.wait(0.05):
            with self._lock:
                if self.closing.is_set():
                    return
                for index, process in enumerate(self.webs):
                    if process.poll() is not None:
                        self.webs[index] = self._spawn("web", self.ports[index])
                for index, process in enumerate(self.workers):
                    if process.poll() is not None:
                        if process.returncode == -signal.SIGKILL:
                            self.killed.add(process.pid)
                        self.workers[index] = self._spawn("worker")

    # Faults. Each returns when it is over, so that the next one starts on a running system.

    def kill_worker(self) -> None:
        """SIGKILL of a worker at any moment."""
        self.random.choice(self.workers).kill()

    def kill_web(self) -> None:
        """SIGKILL of a web process."""
        self.random.choice(self.webs).kill()

    def kill_redis(self) -> None:
        """SIGKILL of Redis; it comes back with what its append-only file holds."""
        self.redis.kill()
        time.sleep(self.random.random() * 0.3)
        self.redis.start()

    def kill_at_point(self) -> None:
        """SIGKILL of the worker whose command or reply passes a named point."""
        point = self.random.choice(POINTS)
        struck = threading.Event()

        def strike() -> None:
            # Which worker it is cannot be told from a connection: all of them die.
            for process in self.workers:
                process.kill()
            struck.set()

        self.proxy.at(point, strike)
        struck.wait(3)

    def drop_replies(self) -> None:
        """Replies of scripts that were carried out never arrive."""
        self.proxy.drop_replies = self.random.randint(1, 5)

    def reset_connections(self) -> None:
        """All connections to Redis break."""
        self.proxy.reset_all()

    def hang_redis(self) -> None:
        """Redis hangs for longer than a lease."""
        os.kill(self.redis.pid, signal.SIGSTOP)
        time.sleep(self.random.choice([0.5, 3.0]))
        os.kill(self.redis.pid, signal.SIGCONT)

    def slow_redis(self) -> None:
        """Redis is 20 ms away for a while."""
        self.proxy.delay = 0.02
        time.sleep(1)
        self.proxy.delay = 0.0

    def fill_memory(self) -> None:
        """Redis has no memory left for a while."""
        with self.redis.client() as client:
            client.config_set("maxmemory", 1)
            time.sleep(1)
            client.config_set("maxmemory", 0)

    def terminate_storm(self) -> None:
        """SIGTERM to all workers, several times, as Heroku sends it."""
        for _ in range(3):
            for process in self.workers:
                process.terminate()
            time.sleep(0.05)

    @property
    def faults(self) -> list[Callable[[], None]]:
        """What can go wrong, as the plan has it."""
        everything = [
            self.kill_worker,
            self.kill_web,
            self.kill_redis,
            self.kill_at_point,
            self.kill_at_point,
            self.drop_replies,
            self.reset_connections,
            self.hang_redis,
            self.slow_redis,
            self.fill_memory,
            self.terminate_storm,
        ]
        return [fault for fault in everything if not self.plan.faults or fault.__name__ in self.plan.faults]


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise TimeoutError("the web process did not start")


class Senders:
    """The platform: every session's events one after the other, each until it is acknowledged."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.poison: set[str] = set()
        self.acked = 0  # about: threads count without a lock
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_session, args=(f"session-{number}", number), daemon=True)
            for number in range(stage.plan.sessions)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the events that are under way, then end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _send_session(self, session: str, number: int) -> None:
        plan = self.stage.plan
        chance = random.Random(plan.seed * 1000 + number)
        pause = plan.sessions / plan.rate
        with httpx.Client(timeout=10) as client:
            for count in range(1_000_000):
                if self._stop.wait(chance.random() * 2 * pause):
                    return
                self._send_one(client, session, count, chance)

    def _send_one(self, client: httpx.Client, session: str, count: int, chance: random.Random) -> None:
        event_id = f"evt_{session}_{count}"
        kill = ""
        if chance.random() < self.stage.plan.poison:
            kill = "poison"
            self.poison.add(event_id)
        elif chance.random() < 0.005:
            kill = chance.choice(["run.started", "run.effect"])
        failures = 1 if chance.random() < 0.03 else 0
        body = webhook_body(
            {"number": count, "kill": kill, "failures": failures},
            session_id=session,
            type=chance.choice(["fault.async", "fault.plain"]),
            event_id=event_id,
            priority=chance.choice(["Critical", "High", "Normal", "Low"]),
        )
        self.stage.ledger.write("sent", session, count, event_id)
        while True:
            try:
                port = chance.choice(self.stage.ports)
                answer = client.post(
                    f"http://127.0.0.1:{port}/webhooks/hiloop",
                    content=body,
                    headers=signed_headers(body, token=TOKEN, secret=SECRET),
                )
                if answer.status_code in (200, 202):
                    self.stage.ledger.write("acked", session, count, event_id)
                    self.acked += 1
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)


def run(plan: Plan, folder: Path, make_stage: type[Stage] = Stage) -> Report:
    """Carry out the plan; ledgers and the processes' log go to ``folder``."""
    stage = make_stage(plan, folder)
    stage.start()
    try:
        senders = Senders(stage)
        senders.start()
        done: Counter[str] = Counter()
        end = time.monotonic() + plan.seconds
        while time.monotonic() < end or senders.acked < plan.events:
            fault = stage.random.choice(stage.faults)
            fault()
            done[fault.__name__] += 1
            time.sleep(plan.fault_every * stage.random.random())
        last_fault = time.monotonic()
        senders.stop()
        dead = _wait_until_drained(stage, last_fault)
        drained_after = time.monotonic() - last_fault
        verdict = judge(stage.ledger, senders.poison & set(dead), stage.killed)
        return Report(verdict, len(stage.killed), done, drained_after, dead, senders.poison)
    finally:
        stage.stop()


def _wait_until_drained(stage: Stage, since: float) -> dict[str, str]:
    """Wait until no event is left, at most twice the time allowed; returns the dead letters with their reasons."""
    with stage.client() as client:
        while time.monotonic() - since < 2 * DRAIN_SECONDS:
            if not _left(client):
                break
            time.sleep(0.05)
        return {
            job.decode(): (client.hget(f"rq:job:{job.decode()}", "reason") or b"").decode()
            for queue in Layout().queues
            for job in client.zrange(f"rq:failed:{queue}", 0, -1)
        }


def _left(client: redis.Redis) -> int:
    ended = sum(client.zcard(f"rq:{kind}:{queue}") for queue in Layout().queues for kind in ("failed", "finished"))
    return sum(1 for _ in client.scan_iter("rq:job:*", count=1000)) - ended


def main() -> int:
    """The command line; exit code 0 if it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--poison", type=float, default=0.0, help="share of events that kill their worker")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hiloop-faults-"))
    report = run(Plan(options.minutes * 60, options.seed, rate=options.rate, poison=options.poison), folder)
    print(report.verdict)
    print(f"kills={report.kills} drained after {report.drained_after:.1f} s; faults: {dict(report.faults)}")
    print(f"dead letters: {Counter(report.dead.values())}; poison sent: {len(report.poison)}")
    for problem in [*report.problems, *report.excess]:
        print("FAILED:", problem)
    print("ledgers:", folder)
    return 1 if report.problems or report.excess else 0


if __name__ == "__main__":
    sys.exit(main())
