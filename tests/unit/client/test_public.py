"""The names that users import, and what importing them must not do."""

from __future__ import annotations

import subprocess
import sys

import receiver.client
from receiver.client import key_cache
from receiver.client.key_cache import CAPACITY, LIFETIME, KeyCache


def test_exported_names() -> None:
    assert sorted(receiver.client.__all__) == receiver.client.__all__
    offered = {
        name
        for name, value in vars(receiver.client).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("receiver.")
    }
    assert offered - {"TimelineItem"} == set(receiver.client.__all__) - {"TimelineItem"}


def test_client_loads_nothing_of_the_other_sides() -> None:
    code = "import receiver.client, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "workers",
        "redis",
        "rq",
        "starlette",
        "uvicorn",
        "asyncio",
        "receiver.app",
        "receiver.sandbox",
    }


def test_key_cache_forgets_in_time_and_by_number() -> None:
    cache, scope = KeyCache(), key_cache.session("s")
    assert cache.get(scope, 0.0) is None
    cache.put(scope, (b"key",), 100.0)
    assert cache.get(scope, 100.0 + LIFETIME - 1) == (b"key",)
    assert cache.get(scope, 100.0 + LIFETIME) is None
    cache.forget(scope)
    assert cache.get(scope, 100.0) is None
    for number in range(CAPACITY + 1):
        cache.put(key_cache.session(str(number)), (b"key",), 0.0)
        cache.get(key_cache.session("0"), 0.0)
    assert cache.get(key_cache.session("0"), 0.0) == (b"key",)
    assert cache.get(key_cache.session("1"), 0.0) is None
