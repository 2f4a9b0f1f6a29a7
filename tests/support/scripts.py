"""Call the Lua scripts as inbox and worker do, with what comes back in types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from receiver.keeping import Keeping
from receiver.layout import Layout
from receiver.scripts import load_script
from tests.support.wire import signature

LAYOUT: Final = Layout()
LEASE: Final = 30_000
KEEP_DEAD: Final = 86_400
MAX_CRASHES: Final = 4
# Nothing is left of a handled event, so that a test sees what should be gone; what is kept has tests of its own.
KEEPING: Final = Keeping(dead=KEEP_DEAD, handled=0)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claimed event, as `advance` hands it over."""

    job: str
    execution: str
    body: bytes
    signature: bytes
    progress: str
    claims: int
    replay: str
    accepted_at: str
    traceparent: str
    copy_of: str

    @property
    def key(self) -> str:
        """Its name in RQ's registries."""
        return f"{self.job}:{self.execution}"

    def closing(
        self, verb: str, *, due: float = 0, progress: str = "", reason: str = "", error: str = ""
    ) -> tuple[Any, ...]:
        """How it ends; ``due`` in seconds."""
        return (self.job, self.execution, verb, int(due * 1000), progress, reason, error)


@dataclass(frozen=True, slots=True)
class Step:
    """What `advance` answers."""

    answers: list[int]
    claimed: list[Claim]
    suspended: bool
    alone: bool
    next_due: int

    @property
    def jobs(self) -> list[str]:
        """The claimed jobs in order."""
        return [one.job for one in self.claimed]


class Scripts:
    """The scripts over a real server."""

    def __init__(self, client: redis.Redis, keeping: Keeping = KEEPING) -> None:
        self.client = client
        self._accept: Any = client.register_script(load_script(LAYOUT, "receiver", "accept"))
        self._advance: Any = client.register_script(load_script(LAYOUT, "workers", "advance", keeping))
        self._heartbeat: Any = client.register_script(load_script(LAYOUT, "workers", "heartbeat", keeping))
        self._replay: Any = client.register_script(load_script(LAYOUT, "workers", "replay"))
        self._discard: Any = client.register_script(load_script(LAYOUT, "workers", "discard"))
        self._tally: Any = client.register_script(load_script(LAYOUT, "workers", "tally"))

    def accept(
        self,
        *events: str,
        lane: str = "",
        priority: str = "normal",
        window: int = 3600,
        body: bytes = b"{}",
        max_pending: int = 100_000,
        traceparent: str = "",
        delivery: str = "",
        answer: str = "",
    ) -> list[int]:
        """Accept events in one batch; an event's job has its id. ``answer``: digest of the human's answer."""
        metadata = json.dumps({"delivery": delivery} if delivery else {})
        arguments: list[Any] = [window, max_pending]
        queue = LAYOUT.queue_for(priority)
        for event in events:
            arguments += [event, event, lane, queue, body, signature(body), "response.created", metadata]
            arguments += [answer, traceparent]
        return list(self._accept(args=arguments))

    def advance(
        self,
        want: int = 0,
        *,
        worker: str = "worker-a",
        closings: Sequence[tuple[Any, ...]] = (),
        in_flight: int = 0,
        lease: int = LEASE,
        resync: Iterable[str] | None = None,
    ) -> Step:
        """One step of a worker."""
        arguments: list[Any] = [worker, lease, want, in_flight, len(closings)]
        for closing in closings:
            arguments += closing
        if resync is not None:
            arguments += ["resync", *resync]
        answers, claimed, suspended, alone, next_due, _ = self._advance(args=arguments)
        return Step(answers, [_claim(fields) for fields in claimed], bool(suspended), bool(alone), next_due)

    def claim(self, worker: str = "worker-a") -> Claim:
        """Claim exactly one event."""
        (claim,) = self.advance(1, worker=worker).claimed
        return claim

    def close(self, claim: Claim, verb: str, *, worker: str = "worker-a", **options: Any) -> int:
        """Close one claim; 1 if it still was the worker's."""
        (answer,) = self.advance(worker=worker, closings=[claim.closing(verb, **options)]).answers
        return answer

    def heartbeat(self, worker: str = "worker-a", *, birth: int = 0, lease: int = LEASE) -> int:
        """One heartbeat."""
        record = [] if birth == -1 else ["pid", 7, "hostname", "test", "queues", ",".join(LAYOUT.queues)]
        return int(self._heartbeat(args=[worker, lease, MAX_CRASHES, birth, *record]))

    def replay(self, *jobs: str, handlers: Sequence[str] = ()) -> list[int]:
        """Put dead letters back into line."""
        order = json.dumps({"id": "rpl_1", "reason": "test", "handlers": list(handlers)})
        return list(self._replay(args=[order, *jobs]))

    def discard(self, *jobs: str) -> list[int]:
        """Throw dead letters away."""
        return list(self._discard(args=list(jobs)))

    def tally(self, *attempts: str, worker: str = "worker-a", number: int = 1, handled: int = 0, **totals: int) -> int:
        """A worker's report; ``attempts``: handler, numbers, handler, numbers, …"""
        arguments = [worker, number, handled, len(totals), *(part for pair in totals.items() for part in pair)]
        return int(self._tally(args=[*arguments, *attempts]))

    def die(self, worker: str = "worker-a") -> None:
        """Let a worker's lease be over, as if it had been killed long ago."""
        assert self.client.zadd(LAYOUT.own("leases"), {worker: 1}, xx=True, ch=True) == 1

    def job(self, job_id: str) -> Job:
        """A job as RQ reads it."""
        return Job.fetch(job_id, connection=self.client, serializer=JSONSerializer)

    def field(self, job_id: str, name: str) -> str | None:
        """One field of a job."""
        value: Any = self.client.hget(f"rq:job:{job_id}", name)
        return None if value is None else str(value.decode())

    def queue(self, priority: str = "normal") -> list[str]:
        """The jobs that may run now, the next one first."""
        return _texts(self.client.lrange(f"rq:queue:{LAYOUT.queue_for(priority)}", 0, -1))

    def lane(self, session: str) -> list[str]:
        """The jobs of a session in order."""
        return _texts(self.client.lrange(LAYOUT.own(f"lane:{session}"), 0, -1))

    def members(self, kind: str, priority: str = "normal") -> list[str]:
        """The members of one of RQ's registries (`wip`, `failed`, `deferred`, `scheduled`)."""
        return _texts(self.client.zrange(f"rq:{kind}:{LAYOUT.queue_for(priority)}", 0, -1))

    def counters(self) -> dict[str, int]:
        """The totals, but for what the tests' web process has refused: that may have been in another test."""
        totals: Any = self.client.hgetall(LAYOUT.own("counters"))
        return {name.decode(): int(value) for name, value in totals.items() if not name.startswith(b"refused")}

    def keys_about(self, text: str) -> list[str]:
        """All keys whose names hold ``text``."""
        return sorted(key.decode() for key in self.client.scan_iter(f"*{text}*"))


def nothing_accepted(client: redis.Redis) -> bool:
    """Whether nothing is in Redis but numbers, which web processes write somewhat later than what they count."""
    numbers = (LAYOUT.own("counters"), LAYOUT.own("used"), LAYOUT.own("minute:"))
    return all(key.decode().startswith(numbers) for key in client.scan_iter())


def _texts(values: Any) -> list[str]:
    return [value.decode() for value in values]


def _claim(fields: Sequence[Any]) -> Claim:
    job, execution, body, header, progress, claims, replay, accepted_at, traceparent, copy_of = fields
    return Claim(
        job.decode(),
        execution.decode(),
        body,
        header,
        progress.decode(),
        int(claims),
        replay.decode(),
        accepted_at.decode(),
        traceparent.decode(),
        copy_of.decode(),
    )
