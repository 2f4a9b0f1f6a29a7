"""What the attempts of handlers came to, in numbers: workers add up, Redis keeps, the ledger reads. Pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final, Self

# How an attempt ends. `retry_later` is what a handler asked for itself; `handler_error` and `timeout` are failures.
OUTCOMES: Final = ("done", "discarded", "retry_later", "handler_error", "timeout")
FAILURES: Final = ("handler_error", "timeout")
# Upper bounds of the buckets in which durations are counted (ms); the last bucket has none.
BOUNDS_MS: Final = (1, 5, 25, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
_BUCKETS: Final = len(BOUNDS_MS) + 1
_LONGEST: Final = 20  # digits; more than a counter of ours can have


@dataclass(slots=True)
class HandlerCounts:
    """What attempts of one handler came to.

    ``outcomes`` by the names in `OUTCOMES`; ``retried``: attempts after which it is tried again; ``microseconds``: how
    long all took together; ``buckets``: how many took at most the bound with the same index in `BOUNDS_MS`, and longer
    than the one before.
    """

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    retried: int = 0
    microseconds: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)

    @property
    def attempts(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return sum(self.outcomes[name] for name in FAILURES)

    @property
    def mean_ms(self) -> float | None:
        """How long one took on average, or None if there was none."""
        return self.microseconds / 1000 / self.attempts if self.attempts else None

    def percentile_ms(self, share: float) -> float | None:
        """The bound under which ``share`` (0 to 1) of the attempts stayed; None without attempts, infinite above all
        bounds.
        """
        needed, seen = share * sum(self.buckets), 0
        for bound, number in zip((*BOUNDS_MS, float("inf")), self.buckets, strict=True):
            seen += number
            if number and seen >= needed:
                return float(bound)
        return None

    def note(self, outcome: str, ms: float, *, retried: bool) -> None:
        """Count one attempt."""
        self.outcomes[outcome] += 1
        self.retried += retried
        self.microseconds += round(ms * 1000)
        self.buckets[bisect_left(BOUNDS_MS, ms)] += 1

    def add(self, other: HandlerCounts) -> None:
        """Add another one's numbers."""
        for name, number in other.outcomes.items():
            self.outcomes[name] += number
        self.retried += other.retried
        self.microseconds += other.microseconds
        self.buckets = [one + more for one, more in zip(self.buckets, other.buckets, strict=True)]

    def to_text(self) -> str:
        """The numbers as Redis keeps them: in the order of the fields, with spaces, without zeros at the end."""
        numbers = [*self.outcomes.values(), self.retried, self.microseconds, *self.buckets]
        while numbers and not numbers[-1]:
            numbers.pop()
        return " ".join(map(str, numbers))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote; what is no number counts as 0, since Redis is not to be trusted."""
        places = len(OUTCOMES) + 2 + _BUCKETS
        numbers = [_whole(part) for part in text[: places * _LONGEST].split(" ")[:places]]
        numbers += [0] * (places - len(numbers))
        outcomes, (retried, took), buckets = numbers[: len(OUTCOMES)], numbers[len(OUTCOMES) :][:2], numbers[-_BUCKETS:]
        return cls(dict(zip(OUTCOMES, outcomes, strict=True)), retried, took, buckets)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST else 0
