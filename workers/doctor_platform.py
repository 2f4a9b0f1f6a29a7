"""What `hiloop-receiver doctor` looks at outside: the platform's API, and the way to the webhook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx

from receiver.client import HiloopClient, Retries
from receiver.errors import AuthenticationFailed, HiloopError
from receiver.settings import WorkerSettings
from workers.finding import Finding

_TIMEOUT: Final = 5.0


def examine_platform(settings: WorkerSettings) -> Iterator[Finding]:
    """Whether the API can be reached and takes the key; asked as the agent of the settings."""
    if not settings.api_key or not settings.agent_name:
        yield Finding("ok", "Hiloop is not asked: that needs HILOOP_API_KEY and HILOOP_AGENT_NAME")
        return
    try:
        with HiloopClient(
            settings.api_key,
            settings.agent_name,
            base_url=settings.base_url,
            agent_keys=settings.agent_keys,
            timeout=_TIMEOUT,
            retries=Retries(attempts=1),
        ) as client:
            stats = client.get_webhook_delivery_stats()
    except AuthenticationFailed as error:
        yield Finding("problem", f"Hiloop refuses the API key: {error.code}", "copy HILOOP_API_KEY once more, whole")
        return
    except HiloopError as error:
        yield Finding("warning", f"Hiloop cannot be asked: {error.code}", "check HILOOP_BASE_URL and the network")
        return
    yield Finding("ok", f"Hiloop takes the API key of {settings.agent_name}")
    if stats.failed:
        yield Finding(
            "warning",
            f"{stats.failed} deliveries have failed",
            "see `hiloop-receiver deliveries list --status Failed`, then `hiloop-receiver reconcile`",
        )


def examine_webhook(url: str) -> Iterator[Finding]:
    """Whether a receiver answers at ``url``: without a signature it must refuse."""
    try:
        answer = httpx.post(url, json={}, timeout=_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield Finding("problem", f"the webhook cannot be reached: {type(error).__name__}", "does the web process run?")
        return
    if answer.status_code == 401 and b'"unauthorized"' in answer.content[:1000]:
        yield Finding("ok", "a receiver answers at the webhook's address")
    else:
        yield Finding(
            "problem",
            f"the webhook's address answers {answer.status_code} to what is not signed, not 401",
            "give the whole address, with /webhooks/hiloop",
        )
