"""What an admin does, from Python: webhooks, their faults, deliveries, and the speed of time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from receiver.sandbox.calls import Caller
from receiver.sandbox.faults import Fault, spelled
from receiver.sandbox.problems import NothingToAnswer


class Admin:
    """The admin of the sandbox at ``url``, for one thread. Raises `Problem` and `Unreachable` as `Caller` does."""

    def __init__(self, url: str) -> None:
        self._api = Caller(url)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def add_webhook(
        self,
        url: str,
        *,
        token: str | None = None,
        secret: str | None = None,
        spaces: Sequence[str] = (),
        agents: Sequence[str] = (),
        event_types: Sequence[str] = (),
        faults: Sequence[str | Fault] = (),
        description: str = "",
    ) -> dict[str, Any]:
        """Make a webhook; an empty scope covers all. Returns it with ``id``, ``token`` and ``secret``."""
        wanted = {
            "url": url,
            "token": token,
            "secret": secret,
            "description": description or None,
            "scope": {"spaces": list(spaces), "agents": list(agents), "eventTypes": list(event_types)},
            "faults": _as_json(faults),
        }
        made: dict[str, Any] = self._api.call("POST", "/admin/api/webhooks", wanted)
        return made

    def webhooks(self) -> list[dict[str, Any]]:
        """All webhooks, oldest first."""
        return list(self._api.every("/admin/api/webhooks"))

    def remove_webhook(self, webhook_id: str) -> None:
        """Remove a webhook."""
        self._api.call("DELETE", f"/admin/api/webhooks/{webhook_id}")

    def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Send a `webhook.test`; returns its delivery."""
        delivery: dict[str, Any] = self._api.call("POST", f"/admin/api/webhooks/{webhook_id}/test")
        return delivery

    def set_faults(self, webhook_id: str, *faults: str | Fault) -> None:
        """Say what goes wrong with a webhook from now on: ``"dropx2"``, ``"delay:3s"``, …; nothing heals it."""
        self._api.call("PUT", f"/admin/api/webhooks/{webhook_id}/faults", {"faults": _as_json(faults)})

    def deliveries(self, *, status: str | None = None) -> list[dict[str, Any]]:
        """All deliveries, newest first."""
        return list(self._api.every("/admin/api/deliveries", **({"status": status} if status else {})))

    def stats(self) -> dict[str, Any]:
        """How all deliveries have gone."""
        stats: dict[str, Any] = self._api.call("GET", "/admin/api/deliveries/stats")
        return stats

    def retry(self, delivery_id: str) -> None:
        """Send an event again."""
        self._api.call("POST", f"/admin/api/deliveries/{delivery_id}/retry")

    def set_speed(self, speed: float) -> None:
        """Let time run ``speed`` times as fast as the wall clock, also for retries that are waiting already."""
        self._api.call("PUT", "/admin/api/clock", {"speed": speed})

    def notices(self, seconds: float) -> AbstractContextManager[Iterator[dict[str, Any]]]:
        """What happens from here on, for ``seconds``: ``{"type", "sessionId", "delivery"?}`` each."""
        return self._api.notices("/admin/api/events", seconds)

    def wait_until_settled(self, *, timeout: float = 10.0) -> list[dict[str, Any]]:
        """All deliveries, newest first, as soon as none is pending.

        Raises `NothingToAnswer` if some still are after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self.notices(timeout) as notices:
            while self.stats()["pending"]:
                if next(notices, None) is None or time.monotonic() > deadline:
                    raise NothingToAnswer(f"deliveries are still pending after {timeout:g} s")
        return self.deliveries()


def _as_json(faults: Sequence[str | Fault]) -> list[dict[str, Any]]:
    return [(spelled(each) if isinstance(each, str) else each).as_json() for each in faults]
