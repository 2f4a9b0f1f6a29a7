"""Wait for a condition; no test sleeps for a time and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


def wait_until(condition: Callable[[], _Result], timeout: float = 10.0, what: str = "") -> _Result:
    """The first true result of ``condition``. Fails with its last result after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition.__name__} did not hold within {timeout:g} s: {result!r}")
        time.sleep(0.005)
