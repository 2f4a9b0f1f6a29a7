"""One queued event: verify it again, parse it, open it. Also the function that RQ's job names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from receiver.errors import Unverifiable
from receiver.events import Event
from receiver.keyring import Keyring
from receiver.signature import verify_signature
from workers.opened import OpenedEvent, open_event


def open_job(body: bytes, signature: bytes, *, secrets: Sequence[bytes], keyring: Keyring) -> OpenedEvent:
    """The event in a job: the raw ``body`` of its webhook and the platform's ``signature`` header.

    The signature is verified again, so that nobody who can only write to Redis can forge an event. Raises
    `Unverifiable`, `InvalidEvent`, or `OpenError`, and nothing else.
    """
    if verify_signature(secrets, body, signature) is None:
        raise Unverifiable("no secret of this worker verifies the event")
    return open_event(Event.from_bytes(body), keyring)


def handle_event() -> NoReturn:
    """What RQ would call. Its stock workers know nothing of lanes, so an event they took would hold up its session."""
    raise RuntimeError("this job is an event of hiloop-receiver; run it with `hiloop-receiver worker`")
