"""Traces with OpenTelemetry: one a webhook, through the queue, to each attempt of each handler.

Off, and not even imported here, unless OpenTelemetry's own environment variables name where to send traces. Spans
hold ids, names and outcomes, after the semantic conventions of messaging; of errors the type only; never a payload. A
trace begins where a request has been verified, so that a stranger can neither begin nor choose one.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from receiver.logs import get_logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanKind
    from opentelemetry.util.types import AttributeValue

    from receiver.events import Event

logger = get_logger()

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# What has not been sent by then is lost: a process that is told to stop must not wait for a collector.
STOP_SECONDS: Final = 2.0


class Step:
    """One step of an event's way: a span that ends once."""

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self._tracing = tracing
        self._span = span

    @property
    def traceparent(self) -> str:
        """The step as W3C's `traceparent`, which jobs carry."""
        known = self._span.get_span_context()
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{int(known.trace_flags):02x}"

    @property
    def trace_id(self) -> str:
        """The trace's id in hexadecimal digits, for logs."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def context(self) -> contextvars.Context:
        """A copy of the current context in which this step is the current span: what runs there is part of it."""
        from opentelemetry import context, trace

        copy = contextvars.copy_context()
        copy.run(context.attach, trace.set_span_in_context(self._span))
        return copy

    def attempt(self, handler: str, number: int) -> Step:
        """A step below this one: a handler's try."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        attributes: dict[str, AttributeValue] = {"hiloop.handler": handler, "hiloop.attempt": number}
        below = set_span_in_context(self._span)
        return self._tracing.start(f"handle {handler}", SpanKind.INTERNAL, attributes, below=below)

    def end(self, outcome: str, error: str = "") -> None:
        """Say how it went; ``error``: the type of the error or the reason, if it failed. A second end is ignored."""
        from opentelemetry.trace import Status, StatusCode

        if not self._span.is_recording():
            return
        self._span.set_attribute("hiloop.outcome", outcome)
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """Begins the steps of one process; ``queue`` is the name of its queue."""

    def __init__(self, provider: TracerProvider, queue: str) -> None:
        self._provider = provider
        self._queue = queue
        self._tracer = provider.get_tracer("hiloop-receiver")

    def accepting(self, event: Event, *, size: int, seconds: float, sender: bytes) -> Step:
        """A webhook that has just been verified, ``seconds`` after it arrived; it begins a trace.

        ``size`` in bytes. ``sender``: the `traceparent` of the request, which the trace is linked to, but not part of.
        """
        from opentelemetry import trace

        linked = trace.get_current_span(_context_of(sender.decode("latin-1"))).get_span_context()
        return self.start(
            f"accept {self._queue}",
            trace.SpanKind.PRODUCER,
            {
                **_message(self._queue, event.id, "accept", "send"),
                "messaging.message.conversation_id": event.session_id[:256],
                "messaging.message.body.size": size,
                "hiloop.event.type": event.type,
                "hiloop.priority": event.priority,
                "hiloop.agent": event.agent_name,
            },
            links=[trace.Link(linked)] if linked.is_valid else [],
            start_time=time.time_ns() - int(seconds * 1e9),
        )

    def handling(self, traceparent: str, *, event_id: str, claims: int) -> Step:
        """An event that has just been claimed; ``traceparent`` is that of its acceptance, ``claims`` counts claims."""
        from opentelemetry.trace import SpanKind

        attributes = {**_message(self._queue, event_id, "handle", "process"), "hiloop.claims": claims}
        return self.start(f"handle {self._queue}", SpanKind.CONSUMER, attributes, below=_context_of(traceparent))

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
        *,
        below: Context | None = None,
        links: list[Link] | None = None,
        start_time: int | None = None,
    ) -> Step:
        """Begin a step ``below`` another one, or a trace."""
        from opentelemetry.context import Context

        filled = {key: value for key, value in attributes.items() if value != ""}
        span = self._tracer.start_span(
            name, below or Context(), kind, filled, links, start_time=start_time, record_exception=False
        )
        return Step(self, span)

    def stop(self) -> None:
        """Send what is left, for at most `STOP_SECONDS`."""
        # Its own timeout does not end the pauses between tries.
        sending = threading.Thread(target=self._provider.force_flush, daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)


def start_tracing(environment: Mapping[str, str], process: str, queue: str) -> Tracing | None:
    """Tracing for this process, ``web`` or ``worker``; None where nothing asks for it, or it is not installed."""
    if (
        not any(environment.get(name, "").strip() for name in _ENDPOINTS)
        or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none"
    ):
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("no traces: OpenTelemetry is not installed; pip install 'hiloop-receiver[otel]'")
        return None

    # It quotes a header that it cannot read, and headers hold a collector's password.
    logging.getLogger("opentelemetry.util.re").setLevel(logging.ERROR)
    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": f"hiloop-receiver-{process}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # Users' own spans, and those of what they have instrumented, belong to the attempt in which they begin.
    trace.set_tracer_provider(provider)
    return Tracing(provider, queue)


def _context_of(traceparent: str) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())


def _message(queue: str, event_id: str, operation: str, kind: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "rq",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.message.id": event_id,
    }
