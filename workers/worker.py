"""The worker process: claims events, has them run, closes them; one thread for Redis, one for handlers.

The main thread speaks to Redis and sends heartbeats; it never runs user code, so a handler that blocks the event
loop cannot make the worker look dead. The event loop with the handlers lives in a second thread, plain functions in
further ones. What an event goes through is drawn in LIFE.md beside this file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final
from uuid import uuid4

import redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker

from receiver.layout import event_id
from receiver.logs import get_logger
from receiver.scripts import load_script
from receiver.settings import WorkerSettings
from receiver.uses import Uses, tell
from workers.claims import Claimed, Closing
from workers.dispatch import Dispatcher
from workers.loop import HandlerLoop
from workers.wakeup import Wakeup

logger = get_logger()

# More in one step would keep Redis from others for more than about 2 ms.
MAX_CLAIM: Final = 64
# Puts a bound on what no message tells: `rq requeue`, `rq resume`, a lost wake-up.
POLL_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 0.002
# An event whose worker died this often while it was in flight is taken for the cause: twice in company, twice alone.
MAX_CRASHES: Final = 4
# Handlers that ignore their cancellation at a stop get this long before their events are put back all the same.
RELEASE_SECONDS: Final = 2.0
# Attempts and latencies are written so often; those since then are lost to the numbers when a worker is killed.
TALLY_SECONDS: Final = 1.0
# A failover takes seconds; a worker is not to add any.
_LONGEST_PAUSE: Final = 0.5

MakeDispatcher = Callable[[Callable[[Closing], None], str], Dispatcher]


class HiloopWorker(BaseWorker):
    """A worker of RQ's family that runs many events at once, in order within a session.

    ``connection`` must not repeat commands by itself: a claim that was sent twice would be lost. ``make_dispatcher``
    gets the function that takes closings and this worker's name, and makes what runs the handlers. ``uses`` are told
    to Redis with heartbeats.
    """

    def __init__(
        self, settings: WorkerSettings, connection: redis.Redis, make_dispatcher: MakeDispatcher, uses: Uses
    ) -> None:
        layout = settings.layout
        self._uses = uses
        super().__init__(
            [Queue(name, connection=connection, serializer=JSONSerializer) for name in layout.queues],
            name=uuid4().hex,
            connection=connection,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._settings = settings
        self._lease_ms = int(settings.lease * 1000)
        keeping = settings.keeping
        self._advance: Any = connection.register_script(load_script(layout, "workers", "advance", keeping))
        self._heartbeat: Any = connection.register_script(load_script(layout, "workers", "heartbeat", keeping))
        self._tell: Any = connection.register_script(load_script(layout, "workers", "tally"))
        self._wakeup = Wakeup(connection, [layout.own(f"wake:{self.name}"), self.pubsub_channel_name])
        self._reported: deque[Closing] = deque()
        self._loop = HandlerLoop(make_dispatcher(self._report, self.name))

        self._held: dict[str, Claimed] = {}
        self._closings: list[Closing] = []
        self._alone = False
        self._look = True
        self._unread = False
        self._linger = 0.0
        self._resync = False
        self._resynced: set[str] = set()
        self._pause = 0.0
        self._born = False
        self._beat_due = 0.0
        self._poll_due = 0.0
        self._tally_due = 0.0
        self._untold: list[str | int] = []
        self._reports = 0
        self._stop_at: float | None = None
        self._left = False  # whether Redis knows that we claim no more
        self._released = False
        self._interrupts = 0

    # RQ raises the socket timeout to several minutes, for a blocking pop that we do not use.
    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        return connection

    def work(self, *_args: Any, **_options: Any) -> bool:
        """Work until SIGTERM or SIGINT. Returns whether everything in flight was closed or put back."""
        self.birth_date = now()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._wakeup.watch_signals()
        self._loop.start()
        logger.info("started", worker=self.name, pid=self.pid, concurrency=self._settings.concurrency)
        try:
            while not self._is_finished():
                self._wait()
                self._turn()
            return self._say_goodbye()
        finally:
            self._wakeup.close()
            self._loop.stop()

    def _report(self, closing: Closing) -> None:
        """Called by the dispatcher, in the thread of the event loop."""
        self._reported.append(closing)
        self._wakeup.ring()

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            self._interrupts += 1
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._settings.grace
        if self._interrupts > 1:
            self._stop_at = time.monotonic()

    @property
    def _stopping(self) -> bool:
        return self._stop_at is not None

    def _is_finished(self) -> bool:
        if not self._stopping:
            return False
        return (not self._held and not self._closings and not self._reported) or self._past_stop(RELEASE_SECONDS)

    def _past_stop(self, extra: float = 0.0) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at + extra

    def _wait(self) -> None:
        """Wait for a wake-up, a closing, a signal, or the next thing that is due."""
        if self._pause:
            time.sleep(self._pause)
        elif not self._reported and (self._linger or not (self._look and self._free_slots())):
            due = min(self._beat_due, self._poll_due)
            if self._linger:
                due, self._linger = time.monotonic() + self._linger, 0.0
            if self._stop_at is not None:
                due = min(due, self._stop_at + (RELEASE_SECONDS if self._released else 0))
            if self._wakeup.wait(max(0.0, due - time.monotonic())):
                self._look = self._unread = True

    def _turn(self) -> None:
        if self._unread:
            self._read()
        while self._reported:
            closing = self._reported.popleft()
            if closing.key in self._held:
                self._closings.append(closing)
        if time.monotonic() >= self._beat_due:
            self._beat()
        if self._past_stop() and not self._released:
            self._released = True
            self._loop.call(self._loop.dispatcher.release_all)
        if not self._born:
            return
        if time.monotonic() >= self._poll_due:
            # Later again even if nothing fits now: a worker that is full must sleep, not spin.
            self._look, self._poll_due = True, time.monotonic() + POLL_SECONDS
        leaving = self._stopping and not self._left
        if self._wakeup.broken:
            self._wakeup.broken, self._resync = False, True
        wanted = self._look and not self._linger and self._free_slots() > 0
        if self._closings or wanted or self._resync or leaving:
            self._step()
        if time.monotonic() >= self._tally_due:
            self._report_tally()

    def _read(self) -> None:
        """Take in what Redis has sent: events that were claimed for us when they were accepted, and commands."""
        self._unread = False
        for is_command, message in self._wakeup.messages():
            if is_command:
                self._obey(message)
            elif (claimed := _handed_over(message)) is not None:
                self._run([claimed])
                # Most handlers that end at once have ended when we look again, and one round trip is saved. Above
                # all, their thread gets the interpreter now, and not when this one next waits for Redis.
                self._linger = LINGER_SECONDS
            else:
                # A web process of another version may have handed over an event in words of its own: ask what we hold.
                self._resync = True

    def _free_slots(self) -> int:
        if self._stopping:
            return 0
        in_flight = len(self._held) - sum(closing.ends_claim for closing in self._closings)
        if self._alone:
            return 1 if in_flight == 0 else 0
        return max(0, min(self._settings.concurrency - in_flight, MAX_CLAIM))

    def _step(self) -> None:
        """Close, promote and claim in one round trip."""
        leaving = self._stopping  # a signal may come at any line, and Redis must hear of it
        closings, want = self._closings, self._free_slots()
        in_flight = len(self._held) - sum(closing.ends_claim for closing in closings)
        arguments: list[Any] = [self.name, self._lease_ms, want, in_flight, len(closings)]
        for one in closings:
            due = int(one.due * 1000)
            arguments += [one.job_id, one.execution_id, one.verb, due, one.progress, one.reason, one.error]
        if self._resync:
            arguments += ["resync", *self._held]
        reply = self._call(self._advance, arguments)
        if reply is None:
            # It may have been carried out all the same: next time we ask what we hold.
            self._resync = True
            return
        answers, claimed, suspended, alone, next_due, closed_at = reply
        self._closings = []
        if leaving and not self._left:
            logger.info("stopping; once more ends it at once", worker=self.name, in_flight=len(self._held))
        self._left = leaving
        for one, answer in zip(closings, answers, strict=True):
            if one.ends_claim:
                held = self._held.pop(one.key, None)
                if answer and held and one.verb == "done":
                    self._loop.dispatcher.tally.note_handled(held.latency(closed_at))
                if not answer and not self._resync:
                    logger.warning("closed too late: another worker has it", event_id=event_id(one.job_id))
        run = [_claimed(*fields) for fields in claimed]
        self._alone = bool(alone)
        self._look = len(claimed) == want > 0 and not suspended
        self._poll_due = time.monotonic() + self._seconds_to_poll(next_due)
        self._run(run)
        if self._resync:
            self._resync = False
            self._resynced = {one.key for one in run}

    def _seconds_to_poll(self, next_due: int) -> float:
        if next_due < 0:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, next_due / 1000 - time.time()) + 0.001)

    def _run(self, claimed: Sequence[Claimed]) -> None:
        # A message that was late may hand over what a resync has brought already.
        fresh = [one for one in claimed if one.key not in self._held and one.key not in self._resynced]
        for one in fresh:
            self._held[one.key] = one
        if fresh:
            self._loop.start_events(fresh)

    def _beat(self) -> None:
        """Prove that we live; take back what dead workers held."""
        self._beat_due = time.monotonic() + self._settings.lease / 3
        self.last_heartbeat = now()
        record: list[Any] = ["concurrency", self._settings.concurrency]
        record += [part for name, value in self.serialize().items() for part in (name, "" if value is None else value)]
        arguments = [self.name, self._lease_ms, MAX_CRASHES, 0 if self._born else 1, *record]
        unbroken = self._call(self._heartbeat, arguments)
        if unbroken is None:
            self._beat_due = time.monotonic()
        elif unbroken:
            self._born = self._look = True
            self._tell_uses()
        else:
            logger.warning("lease lost: others have taken over", worker=self.name, events=len(self._held))
            self._loop.call(self._loop.dispatcher.drop_all)
            self._held.clear()
            self._closings.clear()
            self._look = True

    def _tell_uses(self) -> None:
        counts = self._uses.take()
        if not counts:
            return
        pipe = self.connection.pipeline(transaction=False)
        tell(pipe, self._settings.layout, counts)
        try:
            pipe.execute()
        except (RedisError, OSError):
            self._uses.put_back(counts)  # told with the next heartbeat

    def _report_tally(self) -> None:
        """Write what was done since the last time; a report whose answer was lost is sent again as it was."""
        self._tally_due = time.monotonic() + TALLY_SECONDS
        while True:
            if not self._untold:
                self._untold = self._loop.dispatcher.tally.take()
                self._reports += 1
            if not self._untold or self._call(self._tell, [self.name, self._reports, *self._untold]) is None:
                return
            self._untold = []

    def _call(self, script: Any, arguments: list[Any]) -> Any:
        """Run a script; None if Redis cannot be reached or refuses, after which the next turn waits a little."""
        try:
            reply = script(args=arguments)
        except (RedisError, OSError) as error:
            if not self._pause:
                # The text of an error may quote its arguments; its type says enough.
                logger.warning("redis is not available, waiting", error=type(error).__name__)
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 or 0.05)
            self._wakeup.renew()
            return None
        if self._pause:
            logger.info("redis is available again")
            self._pause = 0.0
        return reply

    def _obey(self, command: bytes) -> None:
        """Carry out a command of RQ's (`rq`'s send_shutdown_command and the like)."""
        try:
            payload = json.loads(command)
            name = payload["command"]
        except (ValueError, TypeError, KeyError, RecursionError):
            logger.warning("ignored a command that is none")
            return
        if name == "shutdown":
            self._on_signal(signal.SIGTERM, None)
        elif name in ("stop-job", "stop-execution"):
            self._loop.call(self._loop.dispatcher.stop_job, str(payload.get("job_id")))

    def _say_goodbye(self) -> bool:
        """Put back what is left, and end the lease."""
        answered = {closing.key for closing in self._closings if closing.ends_claim}
        left = [one for key, one in self._held.items() if key not in answered]
        self._closings += [Closing(one.job_id, one.execution_id, "release", progress=one.progress) for one in left]
        if self._closings:
            self._step()
        done = not self._closings
        self._report_tally()
        self._tell_uses()
        record: list[Any] = [self.name, self._lease_ms, MAX_CRASHES, -1]
        gone = self._call(self._heartbeat, record) is not None
        logger.info("stopped", worker=self.name, put_back=len(left))
        return done and gone


def _claimed(
    job_id: bytes,
    execution_id: bytes,
    body: bytes,
    signature: bytes,
    progress: bytes,
    claims: Any,
    replay: bytes,
    accepted_at: bytes,
    traceparent: bytes = b"",
    copy_of: bytes = b"",
) -> Claimed:
    """What `advance` returns of an event it has claimed. What others wrote into the job may be no text."""
    return Claimed(
        job_id.decode(errors="replace"),
        execution_id.decode(errors="replace"),
        body,
        signature,
        progress.decode(errors="replace"),
        int(claims),
        replay.decode(errors="replace"),
        accepted_at.decode(errors="replace"),
        traceparent.decode(errors="replace"),
        copy_of.decode(errors="replace"),
    )


def _handed_over(message: bytes) -> Claimed | None:
    """The same in the message that `accept` sends; None for a message that cannot be read."""
    try:
        return _claimed(*(part.encode() if isinstance(part, str) else part for part in json.loads(message)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        logger.warning("a message hands over no event that can be read")
        return None
