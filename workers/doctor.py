"""Check before a start or a release whether everything that is configured can work: `hiloop-receiver doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from receiver.envelope import has_aes
from receiver.errors import ConfigurationError
from receiver.keeping import Keeping
from receiver.settings import QueueSettings, WebSettings, WorkerSettings
from workers.doctor_platform import examine_platform, examine_webhook
from workers.doctor_redis import examine_redis
from workers.doctor_rotation import examine_rotation
from workers.finding import Finding
from workers.registry import FILTERS
from workers.run import import_handlers, keyring_of

_MARKS: Final = {"ok": "[green]✓[/]", "warning": "[yellow]⚠[/]", "problem": "[red]✗[/]"}
_Settings = TypeVar("_Settings", bound=QueueSettings)


def run_doctor(
    environment: Mapping[str, str], *, release: bool, webhook: str | None = None, as_json: bool = False
) -> int:
    """Print what was found; returns the exit code: 1 if there is a problem.

    With ``release``, what only the release phase of a platform may not know yet (Redis that is still being made)
    counts as a problem too. ``webhook`` is the public address of the endpoint, to see whether it can be reached.
    """
    console = Console(highlight=False)
    findings: list[Finding] = []
    for finding in examine(environment, release=release, webhook=webhook):
        findings.append(finding)
        if as_json:
            click.echo(json.dumps(asdict(finding), ensure_ascii=False))
            continue
        mend = f" [dim]→ {escape(finding.mend)}[/]" if finding.mend else ""
        console.print(f"{_MARKS[finding.level]} {escape(finding.what)}{mend}", soft_wrap=True)
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def examine(environment: Mapping[str, str], *, release: bool, webhook: str | None = None) -> Iterator[Finding]:
    """Look at settings, keys, handlers, Redis, the platform and the webhook, one finding after the other."""
    web = yield from _settings("web", WebSettings.from_environment, environment)
    worker = yield from _settings("worker", WorkerSettings.from_environment, environment)
    if worker is not None:
        yield from _worker(worker)
    settings = web or worker
    if settings is not None:
        yield from examine_redis(settings, worker.keeping if worker else Keeping(), release=release)
        yield from examine_rotation(settings, web, worker)
    if worker is not None:
        yield from examine_platform(worker)
    if webhook is not None:
        yield from examine_webhook(webhook)


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


def _trust(settings: WorkerSettings) -> Iterator[Finding]:
    if not settings.trusted_senders:
        yield Finding("ok", "no trusted senders: the platform's word is taken for who has answered")
    elif settings.agent_keys:
        yield Finding("ok", f"{len(settings.trusted_senders)} trusted senders")
    else:
        yield Finding(
            "warning",
            "the platform could answer in the name of trusted senders: it can derive the agent's key from the API key",
            "put a key that `hiloop-receiver keys new` makes into HILOOP_AGENT_KEYS",
        )


def _worker(settings: WorkerSettings) -> Iterator[Finding]:
    if has_aes():
        yield Finding("ok", "this processor has AES instructions")
    else:
        yield Finding("problem", "this processor has no AES instructions", "run workers on x86-64 or ARMv8 with AES")
    try:
        for pair in keyring_of(settings):
            yield Finding("ok", f"agent key {pair.key_id}")
        yield from _trust(settings)
        handlers = import_handlers(settings)
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("problem", problem)
        return
    for handler in handlers:
        filters = [f"{name}={value}" for name in FILTERS if (value := getattr(handler, name)) is not None]
        yield Finding("ok", f"handler {handler.name} for {' '.join([handler.type, *filters])}")
