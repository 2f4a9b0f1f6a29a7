"""Several handlers of one event, order within a session, and what happens when a worker stops."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import ANY

from tests.support.stage import NOW, Stage, until
from tests.support.wire import answer
from workers import OpenedEvent, Registry
from workers.claims import Closing


class Handlers:
    """Two handlers for every answer: ``good`` always succeeds, ``bad`` fails as long as it is told to."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[str] = []
        self.bad_fails = True
        self.registry = Registry()

        @self.registry.on_response()
        async def good(event: OpenedEvent) -> None:
            self.calls.append(f"good {event.attempt}")

        @self.registry.on_response(**options)
        async def bad(event: OpenedEvent) -> None:
            self.calls.append(f"bad {event.attempt}")
            if self.bad_fails:
                raise RuntimeError

        self.good, self.bad = (handler.name for handler in self.registry)


def states(closing: Closing) -> dict[str, list[Any]]:
    """Tries, time of the next and state of each handler."""
    return {name: parts[:3] for name, parts in json.loads(closing.progress).items()}


def test_only_the_handler_that_failed_runs_again() -> None:
    async def run() -> None:
        handlers = Handlers()
        stage = Stage(handlers.registry, retries=3)
        first = await stage.finish()
        assert first.verb == "retry"
        assert states(first) == {handlers.good: [1, 0.0, "done"], handlers.bad: [1, first.due, "pending"]}
        stage.now = first.due
        second = await stage.finish(progress=first.progress)
        assert second.verb == "retry"
        stage.now, handlers.bad_fails = second.due, False
        third = await stage.finish(progress=second.progress)
        assert third.verb == "done"
        assert states(third) == {handlers.good: [1, 0.0, "done"], handlers.bad: [3, ANY, "done"]}
        assert sorted(handlers.calls) == ["bad 1", "bad 2", "bad 3", "good 1"]

    asyncio.run(run())


def test_one_dead_handler_makes_the_event_a_dead_letter_after_the_others_are_done() -> None:
    async def run() -> None:
        handlers = Handlers(retries=0)
        closing = await Stage(handlers.registry).finish()
        assert (closing.verb, closing.reason) == ("dead", "handler_error")
        assert json.loads(closing.progress)[handlers.good][2] == "done"

    asyncio.run(run())


def test_a_dead_letter_keeps_its_reason_though_another_handler_is_tried_again_first() -> None:
    async def run() -> None:
        registry = Registry()

        @registry.on_response(retries=0)
        async def dies(event: OpenedEvent) -> None:
            raise RuntimeError

        @registry.on_response(retries=5)
        async def heals(event: OpenedEvent) -> None:
            if event.attempt == 1:
                raise RuntimeError

        stage = Stage(registry)
        first = await stage.finish()
        assert first.verb == "retry"
        stage.now = first.due
        second = await stage.finish(progress=first.progress)
        assert second.verb == "dead"
        assert second.reason == "handler_error"
        assert second.error != ""

    asyncio.run(run())


def test_a_replay_runs_only_what_has_not_succeeded() -> None:
    async def run() -> None:
        handlers = Handlers()
        handlers.bad_fails = False
        progress = json.dumps({handlers.good: [1, 0.0, "done"]})
        replay = json.dumps({"id": "rpl_1", "reason": "mended"})
        closing = await Stage(handlers.registry).finish(progress=progress, replay=replay)
        assert (closing.verb, handlers.calls) == ("done", ["bad 1"])

    asyncio.run(run())


def test_a_handler_whose_time_has_not_come_waits() -> None:
    async def run() -> None:
        handlers = Handlers()
        progress = json.dumps({handlers.good: [1, 0.0, "done"], handlers.bad: [1, NOW + 60, "pending"]})
        closing = await Stage(handlers.registry, retries=3).finish(progress=progress)
        assert (closing.verb, closing.due, handlers.calls) == ("retry", NOW + 60, [])

    asyncio.run(run())


def test_a_handler_that_a_release_has_removed_no_longer_counts() -> None:
    async def run() -> None:
        handlers = Handlers()
        handlers.bad_fails = False
        progress = json.dumps({"old.module.gone": [3, 0.0, "dead"], "old.module.waits": [1, NOW + 60, "pending"]})
        closing = await Stage(handlers.registry).finish(progress=progress)
        assert (closing.verb, sorted(handlers.calls)) == ("done", ["bad 1", "good 1"])

    asyncio.run(run())


def test_hostile_progress_counts_as_none() -> None:
    async def run() -> None:
        handlers = Handlers()
        handlers.bad_fails = False
        for progress in ("pickle", f'{{"{handlers.bad}": [1, NaN, "pending"]}}', f'{{"{handlers.bad}": [Infinity]}}'):
            handlers.calls.clear()
            closing = await Stage(handlers.registry).finish(progress=progress)
            assert (closing.verb, sorted(handlers.calls)) == ("done", ["bad 1", "good 1"])

    asyncio.run(run())


def blocking_registry(**options: Any) -> tuple[Registry, list[str]]:
    """A handler that waits for ever, and the ids of events at which it was cancelled."""
    registry, cancelled = Registry(), list[str]()

    @registry.on_response(**options)
    async def waits(event: OpenedEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(event.id)

    return registry, cancelled


def test_an_unordered_event_leaves_its_lane_at_once() -> None:
    async def run() -> None:
        registry, _ = blocking_registry(ordered=False)
        stage = Stage(registry)
        stage.start()
        assert [one.verb for one in stage.closings] == ["unlane"]
        assert not stage.closings[0].ends_claim
        await until(lambda: len(asyncio.all_tasks()) == 2)
        stage.dispatcher.release_all()
        assert [one.verb for one in stage.closings] == ["unlane", "release"]

    asyncio.run(run())


def test_one_ordered_handler_keeps_the_event_in_its_lane() -> None:
    async def run() -> None:
        registry, _ = blocking_registry(ordered=False)

        @registry.on_response(ordered=True)
        async def fine(event: OpenedEvent) -> None: ...

        stage = Stage(registry)
        stage.start()
        assert stage.closings == []
        stage.dispatcher.release_all()

    asyncio.run(run())


def test_release_puts_everything_back_without_spending_a_try() -> None:
    async def run() -> None:
        registry, cancelled = blocking_registry()
        calls: list[str] = []

        @registry.on_response()
        async def quick(event: OpenedEvent) -> None:
            calls.append(event.id)

        stage = Stage(registry)
        claimed = [stage.start(answer("x", event_id=f"evt_{number}"), job=f"job-{number}") for number in range(3)]
        await until(lambda: len(calls) == 3)
        stage.dispatcher.release_all()
        assert [one.verb for one in stage.closings] == ["release"] * 3
        assert [one.key for one in stage.closings] == [one.key for one in claimed]
        waits, quick_name = (handler.name for handler in registry)
        for closing in stage.closings:
            assert states(closing) == {waits: [0, 0.0, "pending"], quick_name: [1, 0.0, "done"]}
        await until(lambda: len(cancelled) == 3)
        assert len(stage.closings) == 3, "ending after the release reports nothing more"
        stage.dispatcher.release_all()
        assert len(stage.closings) == 3

    asyncio.run(run())


def test_dropping_ends_handlers_and_closes_nothing() -> None:
    async def run() -> None:
        registry, cancelled = blocking_registry()
        stage = Stage(registry)
        stage.start()
        await until(lambda: len(asyncio.all_tasks()) == 2)
        await asyncio.sleep(0)
        stage.dispatcher.drop_all()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert (stage.closings, len(cancelled)) == ([], 1)

    asyncio.run(run())


def test_stopping_one_job_makes_it_a_dead_letter_and_leaves_the_others() -> None:
    async def run() -> None:
        registry, _ = blocking_registry()
        stage = Stage(registry, retries=5)
        stage.start(job="job-1")
        stage.start(job="job-2")
        stage.dispatcher.stop_job("job-3")
        assert stage.closings == []
        stage.dispatcher.stop_job("job-1")
        assert [(one.job_id, one.verb, one.reason) for one in stage.closings] == [("job-1", "dead", "stopped")]
        stage.dispatcher.release_all()
        assert [one.job_id for one in stage.closings] == ["job-1", "job-2"]

    asyncio.run(run())


def test_many_events_run_at_once() -> None:
    async def run() -> None:
        registry = Registry()
        inside: list[str] = []
        gate = asyncio.Event()

        @registry.on_response()
        async def waits(event: OpenedEvent) -> None:
            inside.append(event.id)
            await gate.wait()

        stage = Stage(registry, concurrency=2)
        body = answer("x")
        for number in range(200):
            stage.start(body, job=f"job-{number}")
        await until(lambda: len(inside) == 200)
        gate.set()
        await until(lambda: len(stage.ends) == 200)
        assert {one.verb for one in stage.ends} == {"done"}

    asyncio.run(run())
