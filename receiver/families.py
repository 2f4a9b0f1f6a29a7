"""What `/metrics` shows: the ledger's numbers as families of Prometheus. Pure.

Names and units follow Prometheus's conventions: `hiloop_`, base units (seconds, bytes), `_total` for what only grows.
Few labels, and an end to their values, whatever stands in Redis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from receiver import __version__
from receiver.attempts import BOUNDS_MS, OUTCOMES, HandlerCounts
from receiver.errors import RequestError, Unauthorized
from receiver.events import PRIORITIES
from receiver.layout import DEAD_REASONS
from receiver.ledger import Status

MAX_HANDLERS: Final = 250
# Latencies from POST to handled are shown in buckets of powers of two, from 1 ms to 35 minutes.
_LATENCY_BITS: Final = 22
_REFUSED: Final = (
    *sorted(error.code for error in RequestError.__subclasses__() if error is not Unauthorized),
    *Unauthorized.reasons,
    "disconnected",
)

# Name of the family → the total in Redis, and what it counts.
_TOTALS: Final = {
    "hiloop_events_accepted": ("accepted", "Events made durable."),
    "hiloop_events_duplicate": ("duplicates", "Deliveries of events that were known already."),
    "hiloop_events_handled": ("handled", "Events whose handlers are all done."),
    "hiloop_events_retried": ("retried", "Times an event was put aside for another try."),
    "hiloop_events_released": ("released", "Events put back into line at a stop of their worker."),
    "hiloop_events_taken_back": ("taken_back", "Events put back into line after their worker died."),
    "hiloop_events_replayed": ("replayed", "Events put back into line by a replay."),
    "hiloop_closings_lost": ("lost", "Closings that came too late: another worker had the event."),
    "hiloop_redeliveries_requested": ("asked_again", "Redeliveries asked of the platform by reconciling."),
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """All that is shown, as it was read from Redis at one time."""

    status: Status
    handlers: Mapping[str, HandlerCounts]
    dead_reasons: Mapping[str, int]


def families(numbers: Numbers | None) -> Iterator[Metric]:
    """The families; with None, which means that Redis cannot be reached, only what can be told without it."""
    yield InfoMetricFamily("hiloop_build", "Version of hiloop-receiver.", {"version": __version__})
    yield GaugeMetricFamily("hiloop_up", "1 if Redis answers; with 0 nothing else is shown.", int(numbers is not None))
    if numbers is not None:
        counters = numbers.status.counters
        yield from _totals(counters)
        yield _latencies(counters)
        yield from _attempts(_largest_handlers(numbers.handlers))
        yield from _dead_letters(numbers)
        yield from _now(numbers.status)


def _totals(counters: Mapping[str, int]) -> Iterator[Metric]:
    for name, (total, help_) in _TOTALS.items():
        yield CounterMetricFamily(name, help_, counters.get(total, 0))
    by_reason = {
        "hiloop_requests_refused": ("refused:", _REFUSED, "Webhook requests that were refused."),
        "hiloop_events_dead": ("dead:", DEAD_REASONS, "Events that became dead letters."),
    }
    for name, (prefix, reasons, help_) in by_reason.items():
        family = CounterMetricFamily(name, help_, labels=["reason"])
        counts = {total.removeprefix(prefix): n for total, n in counters.items() if total.startswith(prefix)}
        _add_all(family, _by_reason(counts, reasons))
        yield family
    family = CounterMetricFamily("hiloop_dead_letters_removed", "Dead letters forgotten for good.", labels=["how"])
    _add_all(family, {how: counters.get(how, 0) for how in ("discarded", "expired", "evicted")})
    yield family


def _latencies(counters: Mapping[str, int]) -> Metric:
    quarters = sorted((int(n[3:]), count) for n, count in counters.items() if re.fullmatch(r"ms:[0-9]{1,3}", n))
    counts = [0] * (_LATENCY_BITS + 1)
    for quarter, count in quarters:
        counts[min(-(-quarter // 4), _LATENCY_BITS)] += count
    family = HistogramMetricFamily(
        "hiloop_event_duration_seconds", "From the POST of an event until it was handled, without replays."
    )
    bounds = [2**bit / 1000 for bit in range(_LATENCY_BITS)]
    family.add_metric([], _cumulated(bounds, counts), counters.get("milliseconds", 0) / 1000)
    return family


def _attempts(handlers: Mapping[str, HandlerCounts]) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "hiloop_handler_attempts", "Runs of handlers, by how they ended.", labels=["handler", "outcome"]
    )
    retries = CounterMetricFamily(
        "hiloop_handler_retries", "Runs of handlers after which another try follows.", labels=["handler"]
    )
    durations = HistogramMetricFamily(
        "hiloop_handler_duration_seconds", "How long runs of handlers took.", labels=["handler"]
    )
    bounds = [bound / 1000 for bound in BOUNDS_MS]
    for name, counts in handlers.items():
        for outcome in OUTCOMES:
            attempts.add_metric([name, outcome], counts.outcomes[outcome])
        retries.add_metric([name], counts.retried)
        durations.add_metric([name], _cumulated(bounds, counts.buckets), counts.microseconds / 1_000_000)
    yield from (attempts, retries, durations)


def _dead_letters(numbers: Numbers) -> Iterator[Metric]:
    family = GaugeMetricFamily("hiloop_dead_letters", "Dead letters that are kept now.", labels=["reason"])
    _add_all(family, _by_reason(numbers.dead_reasons, DEAD_REASONS))
    yield family
    yield GaugeMetricFamily(
        "hiloop_dead_letter_bytes", "What the bodies of dead letters take in Redis.", numbers.status.dead_bytes
    )


def _now(status: Status) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "hiloop_queue_depth", "Events that may run now and wait for a worker.", labels=["priority"]
    )
    _add_all(depth, dict(zip(PRIORITIES, status.depth.values(), strict=True)))
    yield depth
    slots = sum(worker.concurrency for worker in status.workers)
    gauges: Sequence[tuple[str, str, float]] = (
        ("hiloop_events_deferred", "Events that wait for another of their session.", status.deferred),
        ("hiloop_events_scheduled", "Events that wait for their next try.", status.retrying),
        ("hiloop_events_in_flight", "Events that workers have claimed.", status.in_flight),
        ("hiloop_events_kept", "Handled events whose metadata is kept.", status.kept),
        (
            "hiloop_oldest_waiting_seconds",
            "Age of the oldest event that waits; 0 if none does.",
            status.oldest_waiting or 0,
        ),
        ("hiloop_workers", "Worker processes whose lease has not ended.", len(status.workers)),
        ("hiloop_worker_slots", "Handlers that all workers together may run at once.", slots),
        ("hiloop_suspended", "1 while workers are suspended (`rq suspend`).", int(status.suspended)),
        ("hiloop_redis_memory_used_bytes", "Memory that Redis uses.", status.memory),
        ("hiloop_redis_memory_limit_bytes", "Memory that Redis may use; 0 if it has no limit.", status.memory_limit),
    )
    for name, help_, value in gauges:
        yield GaugeMetricFamily(name, help_, value)


def _add_all(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, int]) -> None:
    for label, value in values.items():
        family.add_metric([label], value)


def _by_reason(counts: Mapping[str, int], reasons: Iterable[str]) -> dict[str, int]:
    """All reasons there can be, with 0 where there was none, so that the first one is seen as a rise; then the rest."""
    known = {reason: counts.get(reason, 0) for reason in reasons}
    return {**known, "other": sum(counts.values()) - sum(known.values())}


def _largest_handlers(handlers: Mapping[str, HandlerCounts]) -> dict[str, HandlerCounts]:
    by_attempts = sorted(handlers.items(), key=lambda pair: pair[1].attempts, reverse=True)
    return dict(sorted(by_attempts[:MAX_HANDLERS]))


def _cumulated(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Counts by bucket as Prometheus wants them: each with all that are smaller."""
    found: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, total))
    return found
