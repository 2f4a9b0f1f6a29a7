"""One queued event: verify it again, parse it, open it. Also the function that RQ's job names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from receiver.errors import ReplayedAnswer, Unverifiable
from receiver.events import Event
from receiver.keyring import Keyring
from receiver.senders import ANYBODY, TrustedSenders
from receiver.signature import verify_signature
from workers.opened import OpenedEvent, open_event


def open_job(
    body: bytes,
    signature: bytes,
    *,
    secrets: Sequence[bytes],
    keyring: Keyring,
    trusted: TrustedSenders = ANYBODY,
    copy_of: str = "",
) -> OpenedEvent:
    """The event in a job: the raw ``body`` of its webhook and the platform's ``signature`` header.

    The signature is verified again, so that nobody who can only write to Redis can forge an event. Where there are
    ``trusted`` senders, nobody else may have sealed what a human says, and not a second time: ``copy_of`` is the event
    that brought the same answer before. Raises `Unverifiable`, `InvalidEvent`, `OpenError`, `UntrustedSender` or
    `ReplayedAnswer`, and nothing else.
    """
    if verify_signature(secrets, body, signature) is None:
        raise Unverifiable("no secret of this worker verifies the event")
    event = open_event(Event.from_bytes(body), keyring, trusted)
    if trusted and copy_of:
        raise ReplayedAnswer(f"the same answer has come as the event {copy_of!r} before")
    return event


def handle_event() -> NoReturn:
    """What RQ would call. Its stock workers know nothing of lanes, so an event they took would hold up its session."""
    raise RuntimeError("this job is an event of hiloop-receiver; run it with `hiloop-receiver worker`")
