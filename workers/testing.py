"""The pytest fixture `receiver`, for users' own tests: their handlers, run by real processes on this machine.

In `conftest.py`: ``pytest_plugins = ["receiver.testing", "workers.testing"]``
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from receiver.sandbox.harness import LocalHiloop
from workers.local import LocalReceiver

__all__ = ["receiver"]


@pytest.fixture
def receiver(hiloop: LocalHiloop, pytestconfig: pytest.Config) -> Iterator[LocalReceiver]:
    """Redis, web and worker behind the webhook of `hiloop`, with the `handlers` in the folder of `pyproject.toml`."""
    with LocalReceiver(hiloop, folder=pytestconfig.rootpath) as running:
        yield running
    sys.stdout.write(running.log)  # which pytest shows where a test failed
