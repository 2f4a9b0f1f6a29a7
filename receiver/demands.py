"""What Redis must be able to do for us, looked at once at the start of a process and by `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from redis.exceptions import RedisError

from receiver.connections import connect
from receiver.durability import Durability
from receiver.errors import ConfigurationError
from receiver.logs import get_logger
from receiver.settings import QueueSettings

logger = get_logger()

_LOOK_SECONDS: Final = 1.0
_WAITAOF_SINCE: Final = (7, 2)


def check_redis(settings: QueueSettings, durability: Durability = Durability.MEMORY) -> None:
    """Raise `ConfigurationError` if Redis is one that can never do what is asked of it.

    A Redis that cannot be reached now is no reason to stop: it may come back, and until then nothing is accepted.
    """
    try:
        with connect(settings, timeout=_LOOK_SECONDS, retries=0) as client:
            told: dict[str, Any] = client.info()
    except (RedisError, OSError):
        return
    problems = [f"{what}; {mend}" for what, mend in unmet(told, durability)]
    if problems:
        raise ConfigurationError(problems)
    if durability is Durability.REPLICA and not told.get("connected_slaves"):
        logger.warning("HILOOP_DURABILITY=replica, but Redis has no replica now: nothing is accepted until it has one")


def unmet(told: Mapping[str, Any], durability: Durability) -> Iterator[tuple[str, str]]:
    """What this Redis can never do, and what to do about it; ``told`` is the answer of INFO."""
    if told.get("cluster_enabled"):
        yield (
            "REDIS_URL leads to a Redis Cluster, over whose nodes the keys of one queue would be spread",
            "use a Redis without cluster mode, with Sentinel or managed failover; deploy/capacity.md has more",
        )
    if durability is Durability.DISK:
        version = str(told.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < _WAITAOF_SINCE:
            yield (
                f"HILOOP_DURABILITY=disk, but Redis {version} cannot tell what is on disk",
                "use Redis or Valkey 7.2 or newer, or HILOOP_DURABILITY=memory",
            )
        if not told.get("aof_enabled"):
            yield (
                "HILOOP_DURABILITY=disk, but this Redis keeps no append-only file",
                "set appendonly yes there, or HILOOP_DURABILITY=memory",
            )
