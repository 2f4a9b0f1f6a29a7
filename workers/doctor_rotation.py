"""What `hiloop-receiver doctor` says of old tokens, secrets and keys: whether they are still used, or can go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from receiver.connections import connect
from receiver.counted import Counted, Use
from receiver.errors import ConfigurationError
from receiver.settings import QueueSettings, WebSettings, WorkerSettings
from receiver.uses import names_of_secrets
from workers.commands.output import age
from workers.finding import Finding
from workers.run import opening_keyring

# Longer than a platform tries again, so that nothing that is under way still needs the old one.
QUIET_SECONDS: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """``names`` in the order of ``setting``, the current one first; ``then`` is what to know before an old one goes."""

    noun: str
    setting: str
    names: Sequence[str]
    then: str = ""


def examine_rotation(
    settings: QueueSettings, web: WebSettings | None, worker: WorkerSettings | None
) -> Iterator[Finding]:
    """One finding for each old token, secret and agent key, and for each trusted sender of several."""
    try:
        kinds = [kind for kind in _kinds(settings, web, worker) if len(kind.names) > 1]
    except ConfigurationError:
        return  # said already
    senders = list(worker.trusted_senders) if worker else []
    if not kinds and len(senders) < 2:
        return
    try:
        with connect(settings, timeout=5.0) as client:
            uses = Counted(client, settings.layout).uses()
    except (RedisError, OSError):
        return  # said already
    for kind in kinds:
        for name in kind.names[1:]:
            yield _old(kind, name, uses, time.time())
    for sender in senders if len(senders) > 1 else ():
        yield Finding("ok", f"trusted sender {sender}: {_last(uses.get(f'sender:{sender.key_id}'), time.time())}")


def _kinds(settings: QueueSettings, web: WebSettings | None, worker: WorkerSettings | None) -> Iterator[_Kind]:
    if web is not None:
        yield _Kind("token", "HILOOP_WEBHOOK_TOKEN", names_of_secrets("token", web.webhook_tokens))
    replays = "; events that were signed with it can then no longer be replayed"
    secrets = names_of_secrets("secret", settings.webhook_secrets)
    yield _Kind("secret", "HILOOP_WEBHOOK_SECRET", secrets, replays)
    if worker is not None:
        keys = [f"key:{pair.key_id}" for pair in opening_keyring(worker)]
        opens = "; what was sealed for it can then no longer be opened"
        # The last one may be that of the API key, which cannot be taken out.
        own = keys[: len(worker.agent_keys)] if worker.agent_keys else []
        yield _Kind("agent key", "HILOOP_AGENT_KEYS", own, opens)


def _old(kind: _Kind, name: str, uses: Mapping[str, Use], now: float) -> Finding:
    use = uses.get(name)
    what = f"old {kind.noun} {name.partition(':')[2]}: {_last(use, now)}"
    if use is None or now - (use.last or use.since) < QUIET_SECONDS:
        return Finding("ok", what, "it has to stay" if use is not None and use.last else "")
    return Finding("warning", what, f"take it out of {kind.setting}{kind.then}")


def _last(use: Use | None, now: float) -> str:
    if use is None:
        return "nothing is known of its use yet"
    if use.last is None:
        return f"not used for {age(now - use.since)}, as long as it is counted"
    return f"last used {age(now - use.last)} ago, {use.times} times in {age(now - use.since)}"
