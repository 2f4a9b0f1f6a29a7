"""Run the matching handlers of claimed events, one outcome each, and say how each event closes.

Everything here happens on one event loop. Async handlers run on it, plain functions in threads.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from receiver.errors import (
    Discard,
    InvalidEvent,
    OpenError,
    ReplayedAnswer,
    RetryLater,
    UntrustedSender,
    Unverifiable,
)
from receiver.events import RESPONSE_TYPE
from receiver.keyring import Keyring
from receiver.layout import event_id
from receiver.logs import get_logger
from receiver.places import describe
from receiver.retry import RetryPolicy
from receiver.senders import ANYBODY, TrustedSenders
from receiver.tracing import Tracing
from receiver.uses import Uses
from workers.claims import Claimed, Closing
from workers.clients import Clients
from workers.job import open_job
from workers.opened import OpenedEvent
from workers.progress import Progress
from workers.registry import Handler, Registry
from workers.replayed import read_replay
from workers.tally import Tally
from workers.traced import TracedClaims

logger = get_logger()

# How long a handler whose time is up may take to end after it was cancelled, before its slot is freed regardless.
CANCEL_GRACE: Final = 5.0


@dataclass(slots=True, eq=False)
class _Run:
    """One claimed event while its handlers run; ``others`` want it too, but its replay leaves them out."""

    claimed: Claimed
    event: OpenedEvent
    progress: Progress
    handlers: Sequence[Handler]
    others: Sequence[Handler] = ()
    attempts: list[_Attempt] = field(default_factory=list)
    reason: str = ""
    error: str = ""
    closed: bool = False


class Dispatcher:
    """Runs claimed events.

    ``report`` takes every `Closing`. ``concurrency`` bounds the threads. ``timeout`` in seconds. ``clients``
    gives handlers a client of Hiloop's API. ``trusted``: who may decide. ``uses`` counts whose keys events had.
    ``worker``: its name in logs. ``tracing``: what makes traces, if any does. ``clock`` is seconds since the epoch.
    ``cancel_grace``: seconds a handler that was cancelled may take to end.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        keyring: Keyring,
        secrets: Sequence[bytes],
        policy: RetryPolicy,
        timeout: float,
        concurrency: int,
        report: Callable[[Closing], None],
        clients: Clients,
        trusted: TrustedSenders = ANYBODY,
        uses: Uses | None = None,
        worker: str = "",
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.time,
        cancel_grace: float = CANCEL_GRACE,
    ) -> None:
        self.registry = registry
        self.keyring = keyring
        self.secrets = secrets
        self.trusted = trusted
        self.uses = uses or Uses()
        self.policy = policy
        self.timeout = timeout
        self.threads = anyio.CapacityLimiter(concurrency)
        self.clients = clients
        self.worker = worker
        self.traces = TracedClaims(tracing)
        self.clock = clock
        self.cancel_grace = cancel_grace
        self.tally = Tally()
        self._to_report = report
        self._runs: dict[str, _Run] = {}

    def start(self, claimed: Claimed) -> None:
        """Open one claimed event and start its handlers; returns at once."""
        try:
            self.traces.begin(claimed)
            self._start(claimed)
        except Exception as error:  # noqa: BLE001  # whatever it is, the event must be closed
            # A defect of ours: an event that nobody closes would hold up its session until the worker ends.
            logger.error("internal error", event_id=event_id(claimed.job_id), error=describe(error))  # noqa: TRY400  # type and place are all that may be told
            self._close_unopened(claimed, "internal_error", describe(error))

    def _start(self, claimed: Claimed) -> None:
        try:
            event = open_job(
                claimed.body,
                claimed.signature,
                secrets=self.secrets,
                keyring=self.keyring,
                trusted=self.trusted,
                copy_of=claimed.copy_of,
            )
        except (OpenError, Unverifiable, UntrustedSender, ReplayedAnswer) as error:
            self._close_unopened(claimed, error.reason, f"{type(error).__name__}: {error}")
            return
        except InvalidEvent as error:
            self._close_unopened(claimed, "bad_event", f"InvalidEvent: {error}")
            return
        for key_id in event.recipients:
            self.uses.note(f"key:{key_id}")
        if event.sender is not None:
            self.uses.note(f"sender:{event.sender.key_id}")
        wanted = handlers = self.registry.match(event)
        order = read_replay(claimed.replay, claimed.accepted_at) if claimed.replay else None
        if order is not None:
            event = replace(event, replay=order.replay)
            handlers = [handler for handler in wanted if order.covers(handler.name)]
        if not handlers:
            self._close_unwanted(claimed, event)
            return
        others = [handler for handler in wanted if handler not in handlers]
        run = _Run(claimed, event, Progress.from_json(claimed.progress), handlers, others)
        self._runs[claimed.key] = run
        if not any(handler.ordered for handler in handlers):
            self._report(Closing(claimed.job_id, claimed.execution_id, "unlane"))
        soon = self.clock() + 0.05
        waiting = [one for one in handlers if self._is_due(run, one, soon)]
        run.attempts = [_Attempt(self, run, handler) for handler in waiting]
        self._close_if_ended(run)

    def release_all(self) -> None:
        """Stop all handlers and put their events back into line; the tries that were under way do not count."""
        for run in list(self._runs.values()):
            for attempt in run.attempts:
                attempt.release()
            self._close(run, "release")

    def drop_all(self) -> None:
        """Stop all handlers without closing their events: somebody else has them now."""
        for run in list(self._runs.values()):
            run.closed = True
            for attempt in run.attempts:
                attempt.release()
        self._runs.clear()
        self.traces.drop_all()

    def stop_job(self, job_id: str) -> None:
        """Stop the handlers of one event, which becomes a dead letter (`rq`'s command "stop-job")."""
        for run in list(self._runs.values()):
            if run.claimed.job_id == job_id:
                for attempt in run.attempts:
                    attempt.release()
                run.reason, run.error = "stopped", "stopped by command"
                self._close(run, "dead")

    def policy_for(self, handler: Handler) -> RetryPolicy:
        """The worker's retry policy with what the handler overrides."""
        return self.policy if handler.retries is None else replace(self.policy, retries=handler.retries)

    def attempt_ended(self, run: _Run) -> None:
        """Called by an attempt when its outcome is in ``run.progress``."""
        self._close_if_ended(run)

    def _report(self, closing: Closing) -> None:
        self._to_report(closing)
        self.traces.close(closing)

    def _is_due(self, run: _Run, handler: Handler, now: float) -> bool:
        one = run.progress.of(handler.name)
        return one.state == "pending" and one.due <= now

    def _close_if_ended(self, run: _Run) -> None:
        if run.closed or any(not attempt.ended for attempt in run.attempts):
            return
        # A handler that a new release has removed no longer counts. One that is left out counts if it had failed.
        mine = Progress({handler.name: run.progress.of(handler.name) for handler in run.handlers})
        known = run.progress.handlers
        mine.handlers |= {
            one.name: replace(known[one.name], state="dead")
            for one in run.others
            if one.name in known and known[one.name].state != "done"
        }
        due = mine.next_due
        if due is not None:
            self._close(run, "retry", due)
        elif mine.failed:
            if not run.reason:  # it died while the event was run before, and another handler was tried again since
                dead = [name for name, one in mine.handlers.items() if one.state == "dead"]
                run.reason, run.error = "handler_error", f"{', '.join(dead)} failed in an earlier run"
            self._close(run, "dead")
        else:
            self._close(run, "done")

    def _close(self, run: _Run, verb: str, due: float = 0.0) -> None:
        if run.closed:
            return
        run.closed = True
        claimed = run.claimed
        self._runs.pop(claimed.key, None)
        if verb == "dead":
            self._log_dead(claimed, run.reason, run.error, session_id=run.event.session_id, agent=run.event.agent_name)
        progress = run.progress.to_json()
        self._report(Closing(claimed.job_id, claimed.execution_id, verb, due, progress, run.reason, run.error))

    def _close_unopened(self, claimed: Claimed, reason: str, error: str) -> None:
        self._log_dead(claimed, reason, error)
        self._report(Closing(claimed.job_id, claimed.execution_id, "dead", 0.0, claimed.progress, reason, error))

    def _log_dead(self, claimed: Claimed, reason: str, error: str, **known: str) -> None:
        event = event_id(claimed.job_id)
        logger.error("dead letter", event_id=event, **known, reason=reason, error=error, worker=self.worker)

    def _close_unwanted(self, claimed: Claimed, event: OpenedEvent) -> None:
        if event.replay is not None:
            self._close_unopened(claimed, "no_handler", "no handler that the replay names wants this event")
        elif event.type == RESPONSE_TYPE:
            # A human has decided something: that must not vanish because of a filter with a typo.
            self._close_unopened(claimed, "no_handler", "no handler wants this answer")
        else:
            ids = {"event_id": event.id, "type": event.type, "session_id": event.session_id, "agent": event.agent_name}
            logger.info("ignored", **ids, reason="no_handler", worker=self.worker)
            self._report(Closing(claimed.job_id, claimed.execution_id, "done", reason="no_handler"))


class _Attempt:
    """One run of one handler. It ends once, whatever its task or thread does afterwards."""

    __slots__ = (
        "_deadline",
        "_dispatcher",
        "_handler",
        "_progress",
        "_run",
        "_started",
        "_started_at",
        "_step",
        "_task",
        "_timed_out",
        "ended",
    )

    def __init__(self, dispatcher: Dispatcher, run: _Run, handler: Handler) -> None:
        self._dispatcher = dispatcher
        self._run = run
        self._handler = handler
        self._progress = run.progress.of(handler.name)
        self._progress.tries += 1
        self._started = time.monotonic()
        self._started_at = dispatcher.clock()
        self._timed_out = False
        self.ended = False
        loop = asyncio.get_running_loop()
        self._step = dispatcher.traces.attempt(run.claimed, handler.name, self._progress.tries)
        self._task = loop.create_task(self._execute(), context=self._step.context() if self._step else None)
        self._deadline = loop.call_later(self._seconds_allowed, self._expire)

    @property
    def _seconds_allowed(self) -> float:
        return self._dispatcher.timeout if self._handler.timeout is None else self._handler.timeout

    def release(self) -> None:
        """Stop it without an outcome; the try does not count."""
        if not self.ended:
            self.ended = True
            self._progress.tries -= 1
            self._deadline.cancel()
            self._task.cancel()
            if self._step:
                self._step.end("released")

    async def _execute(self) -> None:
        clients = self._dispatcher.clients
        connect = partial(clients.asynchronous if self._handler.is_async else clients.plain, self._run.event.agent_name)
        try:
            await self._call(replace(self._run.event, attempt=self._progress.tries, connect=connect))
        except asyncio.CancelledError:
            if self._timed_out:
                self._end_timeout("ended" if self._handler.is_async else "goes on in its thread; its slot is free")
            elif not self.ended:
                self._end_failure("handler_error", "CancelledError in the handler")
        except Discard as control:
            self._tell(logging.INFO, "discarded", "done", reason=control.reason)
            self._end("done", "discarded")
        except RetryLater as control:
            self._end_failure("handler_error", "RetryLater was raised once too often", asked=control.seconds)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises, SystemExit too, is its failure
            self._end_failure("handler_error", describe(error))
        else:
            self._tell(logging.INFO, "handled", "done")
            self._end("done")

    async def _call(self, event: OpenedEvent) -> None:
        handler = self._handler
        arguments = (event, event.client) if handler.wants_client else (event,)
        if handler.is_async:
            await handler.function(*arguments)
        else:
            result = await anyio.to_thread.run_sync(
                handler.function, *arguments, abandon_on_cancel=True, limiter=self._dispatcher.threads
            )
            if asyncio.iscoroutine(result):
                await result  # a plain callable that returns a coroutine, such as a partial of an async function

    def _expire(self) -> None:
        self._timed_out = True
        self._task.cancel()
        self._deadline = asyncio.get_running_loop().call_later(self._dispatcher.cancel_grace, self._abandon)

    def _abandon(self) -> None:
        self._end_timeout("ignores its cancellation; its slot is free")

    def _end_timeout(self, what_now: str) -> None:
        if not self.ended:
            error = f"{self._handler.name} took longer than {self._seconds_allowed:g} s"
            self._end_failure("timeout", error, what="timed out", now=f"the handler {what_now}")

    def _end_failure(
        self, reason: str, error: str, asked: float | None = None, *, what: str = "failed", now: str = ""
    ) -> None:
        if self.ended:
            return
        delay = self._dispatcher.policy_for(self._handler).delay(self._progress.tries, random.random, asked)
        if delay is None:
            self._run.reason, self._run.error = reason, error
            self._tell(logging.ERROR, what, "dead", reason=reason, error=error, now=now)
            self._end("dead", reason)
        else:
            self._progress.due = self._dispatcher.clock() + delay
            self._tell(logging.WARNING, what, "retry", reason=reason, error=error, now=now, next_try_s=delay)
            self._end("pending", reason if asked is None else "retry_later")

    def _end(self, state: str, reason: str = "") -> None:
        if not self.ended:
            self.ended = True
            self._deadline.cancel()
            ms = (time.monotonic() - self._started) * 1000
            self._progress.ended(state, reason, self._started_at, ms)
            self._dispatcher.tally.note_attempt(self._handler.name, reason or state, ms, retried=state == "pending")
            self._dispatcher.attempt_ended(self._run)

    def _tell(self, level: int, what: str, outcome: str, **more: Any) -> None:
        """Say in the log and the trace how it ended."""
        if self._step:
            error = str(more.get("error", ""))
            self._step.end(outcome, "timeout" if more.get("reason") == "timeout" else error.partition(" ")[0])
        event = self._run.event
        logger.log(
            level,
            what,
            event_id=event.id,
            type=event.type,
            session_id=event.session_id,
            agent=event.agent_name,
            handler=self._handler.name,
            attempt=self._progress.tries,
            outcome=outcome,
            ms=(time.monotonic() - self._started) * 1000,
            worker=self._dispatcher.worker,
            trace_id=self._step.trace_id if self._step else None,
            **more,
        )
