"""Functions that take alerts: async or plain; what they raise is told by type and place, and one that hangs is left."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.processes import CANARY
from workers.alerter import NotTaken, calling
from workers.alerts import Alert, AlertHandlers

ALERT = Alert("waiting", False, "warning", "hiloop", "the oldest has waited", datetime(2026, 11, 22, tzinfo=UTC))


def test_async_and_plain_functions_get_the_alert() -> None:
    taken: list[Alert] = []

    async def asynchronous(alert: Alert) -> None:
        taken.append(alert)

    calling(asynchronous)(ALERT)
    calling(taken.append)(ALERT)
    assert taken == [ALERT, ALERT]


def exits(_alert: Alert) -> None:
    raise SystemExit(CANARY)


async def fails(_alert: Alert) -> None:
    raise RuntimeError(CANARY)


@pytest.mark.parametrize(("function", "name"), [(exits, "SystemExit"), (fails, "RuntimeError")])
def test_what_they_raise_is_told_by_type_and_place(function: Any, name: str) -> None:
    with pytest.raises(NotTaken, match=rf"^{name} at test_alert_handlers\.py:\d+ in {function.__name__}$") as caught:
        calling(function)(ALERT)
    assert CANARY not in str(caught.value)


def test_one_that_hangs_is_left() -> None:
    freed = threading.Event()
    give = calling(lambda _alert: freed.wait(30), 0.01)
    with pytest.raises(NotTaken, match=r"^took longer than 0\.01 s$"):
        give(ALERT)
    with pytest.raises(NotTaken, match="still busy"):
        give(ALERT)
    freed.set()


def test_parentheses_are_refused_at_import() -> None:
    with pytest.raises(TypeError, match="without parentheses"):
        AlertHandlers().on_alert(None)  # type: ignore[type-var]  # that it is refused is what is tested
