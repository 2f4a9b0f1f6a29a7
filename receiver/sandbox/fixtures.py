"""pytest fixtures for users' own tests; `receiver.testing` hands them out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from receiver.sandbox.harness import LocalHiloop
from receiver.sandbox.human import Human


@pytest.fixture
def hiloop() -> Iterator[LocalHiloop]:
    """A fresh local Hiloop, where time runs a thousand times as fast for retries."""
    with LocalHiloop(speed=1000) as running:
        yield running


@pytest.fixture
def human(hiloop: LocalHiloop) -> Human:
    """The human of `hiloop`: ``human.answer("approve")``."""
    return hiloop.human
