"""Put a worker together from its settings, and run it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from receiver.connections import connect
from receiver.demands import check_redis
from receiver.envelope import has_aes
from receiver.errors import ConfigurationError
from receiver.keyring import KeyPair, Keyring
from receiver.logs import get_logger
from receiver.places import describe
from receiver.retry import RetryPolicy
from receiver.settings import WorkerSettings
from receiver.tracing import Tracing, start_tracing
from receiver.uses import Uses
from workers.alerter import Alerter
from workers.alerts import alert_handlers
from workers.background import BackgroundTask
from workers.catalog import Catalog
from workers.claims import Closing
from workers.clients import Clients
from workers.dispatch import Dispatcher
from workers.orders import OrderTask
from workers.reconciler import Reconciler
from workers.registry import Registry, registry
from workers.worker import HiloopWorker

logger = get_logger()

# A command to Redis that hangs longer than this is given up, and asked about again.
REDIS_TIMEOUT = 5.0
# What a round of a background task may still take at a stop.
STOP_SECONDS = 1.0


def keyring_of(settings: WorkerSettings) -> Keyring:
    """The agent's keys: explicit ones first, then the one derived from the API key.

    Raises `ConfigurationError` for a key that is none.
    """
    try:
        pairs = [KeyPair.from_base64(text) for text in settings.agent_keys]
    except ValueError as error:
        raise ConfigurationError([f"HILOOP_AGENT_KEYS: {error}"]) from None
    if settings.api_key:
        pairs.append(KeyPair.from_api_key(settings.api_key))
    return Keyring(pairs)


def import_handlers(settings: WorkerSettings) -> Registry:
    """Import the user's modules, which register their handlers. Raises `ConfigurationError` with what to mend."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    problems = []
    for name in settings.handlers:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            where = "in this folder or installed" if missing == name else f"imported by {name}"
            problems.append(f"HILOOP_HANDLERS names {name}, but there is no module {missing} {where}")
        except Exception as error:  # noqa: BLE001  # a user's module may raise anything
            # Not the error's text, which may quote a password out of the user's own settings.
            problems.append(
                f"HILOOP_HANDLERS names {name}, which fails when imported: {describe(error)}; "
                f"`python -c 'import {name}'` shows all of it"
            )
    if not problems and not len(registry):
        names = ", ".join(settings.handlers)
        problems.append(f"HILOOP_HANDLERS names {names}, which registers no handler; decorate one with @on_response()")
    if problems:
        raise ConfigurationError(problems)
    return registry


def opening_keyring(settings: WorkerSettings) -> Keyring:
    """The keys with which events are opened. Raises `ConfigurationError` as `keyring_of` does.

    Whoever knows a private key can seal for it in anybody's name. The platform is told the API key with every call, so
    the key derived from it proves nothing to those who do not trust the platform, once they have keys of their own.
    """
    if settings.trusted_senders and settings.agent_keys:
        return keyring_of(replace(settings, api_key=""))
    return keyring_of(settings)


def make_worker(settings: WorkerSettings, handlers: Registry, tracing: Tracing | None = None) -> HiloopWorker:
    """A worker over Redis. Raises `ConfigurationError` for a key that is none, or a processor that cannot decrypt."""
    if not has_aes():
        raise ConfigurationError(["this processor has no AES instructions; run workers on x86-64 or ARMv8 with AES"])
    keyring = opening_keyring(settings)
    clients = Clients(settings, list(keyring_of(settings)))
    if settings.trusted_senders and not settings.agent_keys:
        logger.warning(
            "the platform could answer in the name of trusted senders: it can derive the agent's key from the API key; "
            "put one that `hiloop-receiver keys new` makes into HILOOP_AGENT_KEYS"
        )

    keys = [f"key:{pair.key_id}" for pair in keyring]
    uses = Uses(keys, [f"sender:{sender.key_id}" for sender in settings.trusted_senders])

    def make_dispatcher(report: Callable[[Closing], None], worker: str) -> Dispatcher:
        return Dispatcher(
            handlers,
            keyring=keyring,
            secrets=settings.webhook_secrets,
            policy=RetryPolicy(settings.retries, settings.retry_base, settings.retry_max),
            timeout=settings.timeout,
            concurrency=settings.concurrency,
            report=report,
            clients=clients,
            trusted=settings.trusted_senders,
            uses=uses,
            worker=worker,
            tracing=tracing,
        )

    # No retries below: a claim that is sent twice would lose the first one's events until a resync.
    return HiloopWorker(settings, connect(settings, timeout=REDIS_TIMEOUT, retries=0), make_dispatcher, uses)


def background_tasks(settings: WorkerSettings, handlers: Registry) -> list[BackgroundTask]:
    """What the settings and handlers want done beside the events. Comparing with the platform needs an API key."""
    # One connection for all: small plans have few.
    connection = connect(settings, timeout=REDIS_TIMEOUT, is_shared=True)
    pairs = list(keyring_of(settings))
    tasks: list[BackgroundTask] = [Catalog(settings, connection, handlers), OrderTask(settings, connection, pairs)]
    if settings.api_key and settings.reconcile:
        tasks.append(Reconciler(settings, connection, pairs))
    if settings.alerts.url or alert_handlers.functions:
        tasks.append(Alerter(settings, connection, alert_handlers.functions))
    return tasks


def run_worker(settings: WorkerSettings) -> NoReturn:
    """Run a worker until it is told to stop, then end this process: 0 if nothing was left in flight.

    Raises `ConfigurationError` for what cannot work.
    """
    handlers = import_handlers(settings)
    check_redis(settings)
    tracing = start_tracing(os.environ, "worker", settings.queue)
    worker = make_worker(settings, handlers, tracing)
    tasks = background_tasks(settings, handlers)
    for task in tasks:
        task.start()
    done = worker.work()
    for task in tasks:
        task.stop()
    for task in tasks:
        # One that ends in the middle of a round would keep its lease, and the others from the task.
        task.join(STOP_SECONDS)
    if tracing is not None:
        tracing.stop()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of handlers that ignore their timeout would keep the interpreter from ending.
    os._exit(0 if done else 1)
