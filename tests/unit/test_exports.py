"""The names that users import are pinned: taking one away is a decision, not an accident."""

from __future__ import annotations

import receiver
import workers
from receiver import errors, testing


def test_workers_exports() -> None:
    expected = [
        "Alert", "Discard", "OpenedEvent", "Registry", "Replay", "RetryLater", "fallback", "on", "on_alert",
        "on_response",
    ]  # fmt: skip
    assert workers.__all__ == expected
    for name in workers.__all__:
        assert getattr(workers, name) is not None


def test_what_handlers_raise_is_the_errors_own() -> None:
    assert workers.Discard is errors.Discard
    assert workers.RetryLater is errors.RetryLater


def test_the_decorators_share_one_registry() -> None:
    from workers.registry import registry

    for name in ("on", "on_response", "fallback"):
        assert getattr(workers, name).__self__ is registry


def test_testing_gives_users_what_its_docstring_shows() -> None:
    for name in ("new_key_pair", "sealed_response", "webhook_body", "signed_headers", "MemoryInbox", "KeyPair"):
        assert callable(getattr(testing, name))


def test_version_is_one_string() -> None:
    assert receiver.__version__.count(".") == 2
