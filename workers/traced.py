"""The traces of a worker's events in flight: a step for each claim, from when it is claimed until it closes."""

from __future__ import annotations

from receiver.layout import event_id
from receiver.tracing import Step, Tracing
from workers.claims import Claimed, Closing


class TracedClaims:
    """Steps by claim. Without ``tracing`` there are none."""

    def __init__(self, tracing: Tracing | None) -> None:
        self._tracing = tracing
        self._steps: dict[str, Step] = {}

    def begin(self, claimed: Claimed) -> None:
        """Go on in the trace in which the event was accepted."""
        if self._tracing is not None:
            self._steps[claimed.key] = self._tracing.handling(
                claimed.traceparent, event_id=event_id(claimed.job_id), claims=claimed.claims
            )

    def attempt(self, claimed: Claimed, handler: str, number: int) -> Step | None:
        """A step for one handler's try."""
        step = self._steps.get(claimed.key)
        return step.attempt(handler, number) if step else None

    def close(self, closing: Closing) -> None:
        """End the claim's step, unless the claim goes on."""
        if closing.ends_claim and (step := self._steps.pop(closing.key, None)):
            step.end(closing.verb, closing.reason if closing.verb == "dead" else "")

    def drop_all(self) -> None:
        """End all steps: somebody else has the events."""
        for step in self._steps.values():
            step.end("lost", "lease_lost")
        self._steps.clear()
