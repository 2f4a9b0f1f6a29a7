"""What `hiloop-receiver doctor` looks at in Redis."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from redis.exceptions import RedisError

from receiver.connections import connect, open_sentinels
from receiver.demands import unmet
from receiver.durability import Durability
from receiver.keeping import Keeping
from receiver.sentinels import SentinelAddress
from receiver.settings import QueueSettings, WebSettings
from workers.finding import Finding

_OLDEST_REDIS: Final = (7, 0)  # scripts declare there whether they may run when memory is full
_MOST_CONNECTIONS: Final = 0.8
_MOST_MEMORY: Final = 0.75
_SLOW_MS: Final = 10.0
_CLOCK_SECONDS: Final = 2.0
_PINGS: Final = 5
_PLACES: Final = {
    Durability.DISK: ("on disk", "set appendfsync there to everysec or always"),
    Durability.REPLICA: ("on a replica", "connect one"),
}


def examine_redis(settings: QueueSettings, keeping: Keeping, *, release: bool) -> Iterator[Finding]:
    """Sentinels, version, what is demanded of it, memory, persistence, latency, clock and connections."""
    address = SentinelAddress.from_url(settings.redis_url)
    if address is not None:
        yield from _sentinels(settings, address)
    try:
        with connect(settings, timeout=5.0) as client:
            told: dict[str, Any] = client.info()
            latency = statistics.median(_ping_ms(client) for _ in range(_PINGS))
            seconds, micros = client.time()
            ahead = time.time() - (seconds + micros / 1e6)
            demands = list(_demands(settings, told, client))
    except (RedisError, OSError) as error:
        level = "problem" if release else "warning"
        yield Finding(level, f"Redis cannot be reached: {type(error).__name__}", "check REDIS_URL and HILOOP_REDIS_TLS")
        return
    yield from _version(told)
    yield from demands
    yield from _memory(told, keeping)
    if not told.get("aof_enabled"):
        yield Finding(
            "warning",
            "Redis keeps no append-only file: what it has accepted is gone when it restarts",
            "turn on persistence (appendonly yes), or choose a plan that has it",
        )
    yield from _connections(told)
    if latency > _SLOW_MS:
        yield Finding("warning", f"Redis takes {latency:.1f} ms to answer", "run it in the same region as the rest")
    else:
        yield Finding("ok", f"Redis answers within {latency:.1f} ms")
    if abs(ahead) > _CLOCK_SECONDS:
        yield Finding("warning", f"this clock and that of Redis differ by {abs(ahead):.1f} s", "let NTP set both")
    else:
        yield Finding("ok", "this clock and that of Redis agree")


def _ping_ms(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.ping()
    return (time.perf_counter() - started) * 1000


def _version(told: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(told.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        yield Finding("problem", f"Redis {version} is too old", "use Redis 7.0 or Valkey 7.2, or newer")
    else:
        yield Finding("ok", f"{told.get('server_name', 'redis')} {told.get('valkey_version', version)}")


def _demands(settings: QueueSettings, told: Mapping[str, Any], client: redis.Redis) -> Iterator[Finding]:
    durability = settings.durability if isinstance(settings, WebSettings) else Durability.MEMORY
    problems = [Finding("problem", what, mend) for what, mend in unmet(told, durability)]
    yield from problems
    if durability is Durability.MEMORY or problems:
        return
    place, reason = _PLACES[durability]
    started = time.perf_counter()
    with client.pipeline(transaction=False) as pipe:
        pipe.set(settings.layout.own("probe"), "", ex=10)
        pipe.execute_command(*durability.question)  # type: ignore[no-untyped-call]  # redis-py's own gap
        _, confirmation = pipe.execute()
    if durability.is_confirmed(confirmation):
        yield Finding("ok", f"Redis confirms after {(time.perf_counter() - started) * 1000:.0f} ms: {place}")
    else:
        what = f"Redis does not confirm what is to be {place}: every event is answered 503"
        yield Finding("problem", what, f"{reason}, or set HILOOP_DURABILITY=memory")


def _sentinels(settings: QueueSettings, address: SentinelAddress) -> Iterator[Finding]:
    """Each Sentinel by itself: what one of them does not know shows only when the others are gone."""
    for number, sentinel in enumerate(open_sentinels(settings, address, timeout=5.0).sentinels):
        host, port = address.hosts[number]
        with sentinel:
            try:
                states: Any = sentinel.sentinel_masters()
            except (RedisError, OSError) as error:
                yield Finding("warning", f"Sentinel {host}:{port}: {type(error).__name__}", "check it and REDIS_URL")
                continue
        state = states.get(address.service)
        if state is None:
            yield Finding("problem", f"Sentinel {host}:{port} watches no {address.service}", "check REDIS_URL")
        else:
            others, replicas = state["num-other-sentinels"], state["num-slaves"]
            yield Finding("ok", f"Sentinel {host}:{port} knows {others} others and {replicas} replicas")


def _memory(told: Mapping[str, Any], keeping: Keeping) -> Iterator[Finding]:
    limit, used = int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    if not limit:
        return
    policy = told.get("maxmemory_policy")
    if policy != "noeviction":
        yield Finding("problem", f"maxmemory-policy is {policy}: events could vanish", "set it to noeviction")
    share = used / limit
    level = "warning" if share > _MOST_MEMORY else "ok"
    mend = "take a larger plan, or keep less: HILOOP_KEEP_HANDLED, HILOOP_KEEP_DEAD" if level == "warning" else ""
    yield Finding(level, f"Redis uses {share:.0%} of {limit / 1024**2:.0f} MB", mend)
    if keeping.dead_bytes > limit / 2:
        yield Finding(
            "warning",
            f"dead letters may take {keeping.dead_bytes / 1024**2:.0f} MB, more than half of Redis",
            f"set HILOOP_KEEP_DEAD_BYTES={limit // 4 // 1024**2 or 1}mb",
        )


def _connections(told: Mapping[str, Any]) -> Iterator[Finding]:
    most, now = int(told.get("maxclients", 0)), int(told.get("connected_clients", 0))
    if not most:
        return
    if now > most * _MOST_CONNECTIONS:
        yield Finding("warning", f"{now} of {most} connections to Redis are used", "run fewer processes")
    else:
        yield Finding("ok", f"{now} of {most} connections to Redis are used")
