"""Check before a start or a release whether everything that is configured can work: `hiloop-receiver doctor`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape

from receiver.connections import connect
from receiver.envelope import has_aes
from receiver.errors import ConfigurationError
from receiver.settings import QueueSettings, WebSettings, WorkerSettings
from workers.run import import_handlers, keyring_of

_MARKS: Final = {"ok": "[green]✓[/]", "warning": "[yellow]⚠[/]", "problem": "[red]✗[/]"}
_OLDEST_REDIS: Final = (7, 0)  # scripts declare there whether they may run when memory is full


_Settings = TypeVar("_Settings", bound=QueueSettings)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``level`` is ok, warning or problem; ``mend`` says what to do about it."""

    level: str
    what: str
    mend: str = ""


def run_doctor(environment: Mapping[str, str], *, release: bool) -> int:
    """Print what was found; returns the exit code: 1 if there is a problem.

    With ``release``, what only the release phase of a platform may not know yet (Redis that is still being made)
    counts as a problem too.
    """
    console = Console(highlight=False)
    findings = list(examine(environment, release=release))
    for finding in findings:
        mend = f" [dim]→ {escape(finding.mend)}[/]" if finding.mend else ""
        console.print(f"{_MARKS[finding.level]} {escape(finding.what)}{mend}", soft_wrap=True)
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def examine(environment: Mapping[str, str], *, release: bool) -> Iterator[Finding]:
    """Look at settings, keys, handlers and Redis, one finding after the other."""
    web = yield from _settings("web", WebSettings.from_environment, environment)
    worker = yield from _settings("worker", WorkerSettings.from_environment, environment)
    if worker is not None:
        yield from _worker(worker)
    settings = web or worker
    if settings is not None:
        yield from _redis(settings, release=release)


def _settings(
    name: str, read: Callable[[Mapping[str, str]], _Settings], environment: Mapping[str, str]
) -> Generator[Finding, None, _Settings | None]:
    try:
        settings = read(environment)
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("problem", f"{name}: {problem}")
        return None
    yield Finding("ok", f"settings of {name}")
    return settings


def _worker(settings: WorkerSettings) -> Iterator[Finding]:
    if has_aes():
        yield Finding("ok", "this processor has AES instructions")
    else:
        yield Finding("problem", "this processor has no AES instructions", "run workers on x86-64 or ARMv8 with AES")
    try:
        for pair in keyring_of(settings):
            yield Finding("ok", f"agent key {pair.key_id}")
        handlers = import_handlers(settings)
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("problem", problem)
        return
    for handler in handlers:
        yield Finding("ok", f"handler {handler.name}")


def _redis(settings: QueueSettings, *, release: bool) -> Iterator[Finding]:
    try:
        with connect(settings, timeout=5.0) as client:
            server = client.info("server")
            memory = client.info("memory")
            persistence = client.info("persistence")
    except (RedisError, OSError) as error:
        level = "problem" if release else "warning"
        yield Finding(level, f"Redis cannot be reached: {type(error).__name__}", "check REDIS_URL and HILOOP_REDIS_TLS")
        return
    version = str(server.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        yield Finding("problem", f"Redis {version} is too old", "use Redis 7.0 or Valkey 7.2, or newer")
    else:
        yield Finding("ok", f"{server.get('server_name', 'redis')} {server.get('valkey_version', version)}")
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction" and memory.get("maxmemory"):
        yield Finding("problem", f"maxmemory-policy is {policy}: events could vanish", "set it to noeviction")
    if not persistence.get("aof_enabled"):
        yield Finding(
            "warning",
            "Redis keeps no append-only file: what it has accepted is gone when it restarts",
            "turn on persistence (appendonly yes), or choose a plan that has it",
        )
