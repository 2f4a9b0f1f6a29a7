"""Every Redis key this project touches, named once. Pure.

Keys under ``rq:`` are RQ 3.0's own layout, so that its command line and dashboards work on our queues. Keys under
``hiloop:`` are ours. Rule 1: no other module spells a key. Rule 2: Lua scripts get these names from `lua_names`.
Rule 3: nothing under any key is plaintext, a secret, or the text of an exception.

Written by accept (A), advance (V), heartbeat (H), replay and discard (R), tally (T), reconcile (C), listen (L),
doctor (D), the alerter (E), for what web processes count, count (W), and for what is used in a rotation,
`receiver.uses` (U). Orders of the dashboard (O) are written by it and by the workers that carry them out; these also
note what it shows (N):

    rq:queues                     set     AH   queue keys                                    stays
    rq:queue:<queue>              list    AVH  jobs that may run now; a list a priority      when empty
    rq:job:<job>                  hash    AVHR RQ's fields, and ours (`JOB_FIELDS`)          after its keeping time
    rq:deferred:<queue>           zset    AV   job → time: behind another of its session     with the job's turn
    rq:scheduled:<queue>          zset    V    job → time due: waits for its retry           with the retry
    rq:failed:<queue>             zset    VHR  job → time it is forgotten: dead letters      after its keeping time
    rq:finished:<queue>           zset    VHR  job → time it is forgotten: handled events    after its keeping time
    rq:wip:<queue>                zset    V    job:execution → +inf: claimed                 when closed, taken back
    rq:executions:<job>           zset    V    executions of a job                           when closed, taken back
    rq:execution:<job>:<exec.>    hash    V    one claim, and who holds it                   when closed, taken back
    rq:worker:<worker>            hash    H    what RQ shows of a worker                     after its lease
    rq:workers[:<queue>]          set     H    keys of workers                               after its lease
    rq:worker:<worker>:executions set     V    what a worker holds                           when closed, taken back
    rq:suspended                  string       written by `rq suspend`                       by `rq resume`

    hiloop:<queue>:seen:<event>   string  A    when it was accepted (ms)                     after the dedup window
    hiloop:<queue>:answer:<digest> string A   event that brought a human's answer first      after the dedup window
    hiloop:<queue>:lane:<session> list    AV   jobs in order; whose turn it is comes first   when empty
    hiloop:<queue>:leases         zset    VH   worker → when its lease ends (ms)             when it is over
    hiloop:<queue>:beat           string  H    when any worker was last heard (ms)           stays
    hiloop:<queue>:waiting        set     AV   workers with free slots, to be woken          when woken
    hiloop:<queue>:isolated       list    HV   jobs in flight at two crashes: run alone      when claimed
    hiloop:<queue>:isolator       string  V    the worker that runs them; with a lease       after its lease
    hiloop:<queue>:turn           string  V    counts claims: low priorities get theirs      stays
    hiloop:<queue>:counters       hash    AVHRW totals (`COUNTERS`)                          stays
    hiloop:<queue>:minute:<min.>  hash    AVHRW the same for one minute since the epoch      after 25 hours
    hiloop:<queue>:handlers       hash    T    handler → numbers (`receiver.attempts`)       stays; at most 200
    hiloop:<queue>:handlers:<min.> hash   T    the same for one minute since the epoch       after 25 hours
    hiloop:<queue>:handlers_seen  zset    T    handler → when it last ran (s)                stays; at most 200
    hiloop:<queue>:dead           hash    VHR  dead letter → bytes of its body               when it is none any more
    hiloop:<queue>:dead_bytes     string  VHR  the sum of these                              stays
    hiloop:<queue>:dead_reasons   hash    VHR  reason → how many dead letters have it        stays
    hiloop:<queue>:reconciler     string  C    the worker that compares; with a lease        after its lease
    hiloop:<queue>:alerter        string  E    the worker that raises alerts; with a lease   after its lease
    hiloop:<queue>:alerts         hash    E    who was told what; when anything last moved   stays
    hiloop:<queue>:asked:<event>  string  C    redelivery was asked for, not to ask twice    after 10 minutes
    hiloop:<queue>:platform       hash    C    what the platform told when it was last asked stays
    hiloop:<queue>:deliveries     hash    N    agent → JSON: the platform's latest deliveries       after a day
    hiloop:<queue>:catalog        hash    N    handler → JSON: what it matches               after an hour
    hiloop:<queue>:cataloguer     string  N    the worker that notes these; with a lease     after its lease
    hiloop:<queue>:orders         list    O    orders that wait for a worker, then at work   when carried out
    hiloop:<queue>:order:<order>  hash    O    an order and its progress (`receiver.orders`) after 7 days
    hiloop:<queue>:orders_given   list    O    the latest 100 orders                         after 7 days
    hiloop:<queue>:orderly        string  O    the worker that carries out; with a lease     after its lease
    hiloop:<queue>:logins:<who>   string  O    tries to log in to the dashboard              after a minute
    hiloop:<queue>:listened:<agent> string L  creation of the newest delivery it took in     after 30 days
    hiloop:<queue>:used           hash    U    which tokens and keys are used in a rotation  90 days after the last
    hiloop:<queue>:probe          string  D    whether Redis confirms what is written       after 10 s
    hiloop:<queue>:wake:<worker>  channel AVH  wakes a worker
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from receiver.events import PRIORITIES

# What a job hash holds beside RQ's own fields.
JOB_FIELDS: Final = {
    "body": "the raw body of the webhook, its content still sealed",
    "signature": "the platform's signature of it, which workers verify again",
    "event": "JSON: what the platform tells of it in plaintext (`receiver.inbox.metadata`)",
    "lane": "the session whose order it keeps, or empty",
    "duplicates": "how often it came again",
    "copy_of": "the event that brought the same human's answer before, under another id",
    "deliveries": "JSON: the deliveries in which it came again, the latest ten, each with its time (ms)",
    "progress": "JSON: how far each handler is, and its latest ten attempts (`workers.progress`)",
    "replay": "JSON: id and reason of its last replay, and the handlers it is limited to",
    "traceparent": "the step of its trace (W3C Trace Context) that workers go on from; only where traces are made",
    "claims": "how often it was claimed",
    "crashes": "how often its worker died while it was in flight",
    "reason": "why it is a dead letter, or that no handler wanted it",
    "error": "type and place of the error that made it one, never its text",
    "died_at": "when it became a dead letter (ms)",
}

# The totals; on top come `dead:<reason>`, `refused:<reason>` and `ms:<n>`. The last count events from POST to handled,
# in buckets: the n-th holds those that took at most 2 ** (n / 4) ms.
COUNTERS: Final = {
    "accepted": "events made durable",
    "duplicates": "events that were known already",
    "refused": "requests that web processes have refused",
    "handled": "events whose handlers are all done",
    "retried": "events that wait for another try",
    "released": "events put back at a stop of their worker",
    "taken_back": "events put back after their worker died",
    "lost": "closings that came too late: another worker had the event",
    "dead": "events that became dead letters",
    "replayed": "events put back into line by a replay",
    "discarded": "dead letters thrown away by a person",
    "expired": "dead letters forgotten after their keeping time",
    "evicted": "dead letters forgotten because there were too many",
    "forgotten": "handled events forgotten because there were too many",
    "milliseconds": "from POST to handled, summed over all handled events",
    "asked_again": "redeliveries that reconciling has asked for",
}

# Why an event became a dead letter.
DEAD_REASONS: Final = (
    "handler_error", "timeout", "no_handler", "unknown_key", "bad_envelope", "bad_ciphertext", "bad_event",
    "unverifiable", "untrusted_sender", "replayed_answer", "worker_lost", "stopped", "not_an_event", "internal_error",
)  # fmt: skip

# The one function that a job may name, and the `data` of every job of ours in RQ's JSON serializer: function by
# dotted name, no instance, no arguments. A worker runs nothing else. The event itself is in fields of its own.
JOB_FUNCTION: Final = "workers.job.handle_event"
JOB_DATA: Final = json.dumps([JOB_FUNCTION, None, [], {}])

MAX_LANE_CHARS: Final = 256
_REFUSED_BY_RQ: Final = frozenset(".:")
_ESCAPED: Final = "x--"
_ESCAPES: Final = {"-": "--", ".": "-d", ":": "-c"}
_ESCAPE: Final = re.compile("-.?", re.DOTALL)


def job_id(event_id: str) -> str:
    """The RQ job id of an event: the event's own id where RQ takes it, an escaped form otherwise. One to one.

    RQ takes only ``[A-Za-z0-9_-]``; an event id may hold ``.`` and ``:`` as well.
    """
    if not set(event_id) & _REFUSED_BY_RQ and not event_id.startswith(_ESCAPED):
        return event_id
    return _ESCAPED + "".join(_ESCAPES.get(char, char) for char in event_id)


def event_id(job: str) -> str:
    """The event id behind a job id: the inverse of `job_id`."""
    if not job.startswith(_ESCAPED):
        return job
    unescape = {escape: char for char, escape in _ESCAPES.items()}
    return _ESCAPE.sub(lambda match: unescape.get(match[0], match[0]), job.removeprefix(_ESCAPED))


def lane_of(session_id: str) -> str:
    """The lane of a session: its id, or the id's hash where it is too long for the name of a key."""
    if len(session_id) <= MAX_LANE_CHARS:
        return session_id
    return "sha256_" + hashlib.sha256(session_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of all keys of one queue; ``queue`` is RQ's queue name for events of normal priority."""

    queue: str = "hiloop"

    def queue_for(self, priority: str) -> str:
        """The RQ queue of a priority: ``hiloop-critical``, ``hiloop-high``, ``hiloop``, ``hiloop-low``."""
        return self.queue if priority == "normal" else f"{self.queue}-{priority}"

    @property
    def queues(self) -> tuple[str, ...]:
        """All RQ queue names, the most urgent first."""
        return tuple(self.queue_for(priority) for priority in PRIORITIES)

    def own(self, name: str) -> str:
        """A key of ours."""
        return f"hiloop:{self.queue}:{name}"

    def rq(self, name: str) -> str:
        """A key of RQ's: ``queue:hiloop``, ``job:evt_1``, ``failed:hiloop-high``, …"""
        return f"rq:{name}"

    def lua_names(self) -> str:
        """These names as the first lines of every script."""
        names = {
            "QUEUES": "rq:queues",
            "QUEUE": "rq:queue:",
            "JOB": "rq:job:",
            "DEFERRED": "rq:deferred:",
            "SCHEDULED": "rq:scheduled:",
            "FAILED": "rq:failed:",
            "FINISHED": "rq:finished:",
            "WIP": "rq:wip:",
            "EXECUTIONS": "rq:executions:",
            "EXECUTION": "rq:execution:",
            "WORKER": "rq:worker:",
            "WORKERS": "rq:workers",
            "SUSPENDED": "rq:suspended",
            "SEEN": self.own("seen:"),
            "ANSWER": self.own("answer:"),
            "LANE": self.own("lane:"),
            "LEASES": self.own("leases"),
            "BEAT": self.own("beat"),
            "WAITING": self.own("waiting"),
            "ISOLATED": self.own("isolated"),
            "ISOLATOR": self.own("isolator"),
            "TURN": self.own("turn"),
            "COUNTERS": self.own("counters"),
            "MINUTE": self.own("minute:"),
            "DEAD": self.own("dead"),
            "DEAD_BYTES": self.own("dead_bytes"),
            "DEAD_REASONS": self.own("dead_reasons"),
            "HANDLERS": self.own("handlers"),
            "HANDLERS_MINUTE": self.own("handlers:"),
            "HANDLERS_SEEN": self.own("handlers_seen"),
            "WAKE": self.own("wake:"),
        }
        lines = [f"local {name} = {json.dumps(value)}" for name, value in names.items()]
        lines.append(f"local JOB_DATA = {json.dumps(JOB_DATA)}")
        lines.append("local PRIORITY_QUEUES = {" + ", ".join(json.dumps(name) for name in self.queues) + "}")
        return "\n".join(lines)
