"""What a version of this project has in Redis, as a file that later versions must be able to go on with."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import redis

_DAYS: Final = 400 * 86400.0


def record(client: redis.Redis, path: Path, version: str) -> None:
    """Write every key of the server into ``path``, as JSON that a diff can show."""
    keys: dict[str, Any] = {}
    for name in sorted(client.scan_iter(count=1000)):
        kind, left = _text(client.type(name)), client.pttl(name)
        keys[_text(name)] = {"type": kind, "value": _read(client, name, kind)} | ({"ttl": left} if left > 0 else {})
    recording = {"version": version, "recorded_at": time.time(), "keys": keys}
    path.write_text(json.dumps(recording, indent=1) + "\n", "ascii")


def restore(client: redis.Redis, path: Path, *, age: float) -> None:
    """Put a recording into an empty server, its times moved as if it had been made ``age`` seconds ago."""
    recording = json.loads(path.read_text("ascii"))
    recorded_at = recording["recorded_at"]
    later = time.time() - age - recorded_at

    def moved(number: str) -> str:
        """A number that is a time, in seconds or milliseconds, in the time of today."""
        for unit in (1, 1000):
            if abs(float(number) / unit - recorded_at) < _DAYS:
                return repr(float(number) + later * unit) if unit == 1 else str(int(float(number) + later * unit))
        return number

    for name, key in recording["keys"].items():
        value = key["value"]
        if key["type"] == "hash":
            client.hset(name, mapping={_bytes(field): _bytes(text) for field, text in value.items()})
        elif key["type"] == "list":
            client.rpush(name, *map(_bytes, value))
        elif key["type"] == "set":
            client.sadd(name, *map(_bytes, value))
        elif key["type"] == "zset":
            client.zadd(name, {_bytes(member): float(moved(score)) for member, score in value.items()})
        else:
            client.set(name, moved(value))
        if "ttl" in key:
            client.pexpire(name, key["ttl"])


def _read(client: Any, name: bytes, kind: str) -> Any:
    if kind == "hash":
        return {_text(field): _text(value) for field, value in sorted(client.hgetall(name).items())}
    if kind == "list":
        return [_text(value) for value in client.lrange(name, 0, -1)]
    if kind == "set":
        return sorted(_text(value) for value in client.smembers(name))
    if kind == "zset":
        return {_text(member): repr(score) for member, score in client.zrange(name, 0, -1, withscores=True)}
    return _text(client.get(name))


def _text(value: Any) -> str:
    return str(value.decode("utf-8", "surrogateescape"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
