"""Handlers that make spans of their own, as a user's code or its libraries do; one fails at its first try."""

from __future__ import annotations

from opentelemetry import trace

from tests.support.processes import CANARY
from workers import OpenedEvent, on_response

tracer = trace.get_tracer("user")


@on_response()
async def asks(event: OpenedEvent) -> None:
    """Fails once."""
    with tracer.start_as_current_span("in the async handler"):
        pass
    if event.attempt == 1:
        raise KeyError(CANARY)


@on_response()
def writes(event: OpenedEvent) -> None:
    """Runs in a thread."""
    with tracer.start_as_current_span("in the plain handler"):
        pass
