"""Who has decided: what an event must show so that its content counts as a trusted sender's. Pure.

Proven is what was sealed, by which key, for which session and under which name of a field. Everything else in an event
is the platform's word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from receiver.envelope import SealedField
from receiver.errors import UntrustedSender
from receiver.events import RESPONSE_TYPE
from receiver.senders import TrustedSender, TrustedSenders

# What a human says in an event of this type, by its name once it is open.
HUMAN_FIELDS: Final[Mapping[str, str]] = {RESPONSE_TYPE: "response", "message.created": "content"}


def who_decided(
    event_type: str, sealed: Sequence[SealedField], trusted: TrustedSenders, own: Collection[str]
) -> TrustedSender | None:
    """The trusted sender who sealed what the human says in this event; None for events in which no human speaks.

    ``own`` are the ids of the agent's keys, which may have sealed other fields, such as a session's title. Raises
    `UntrustedSender` for an answer or a message that no trusted sender has sealed, or more than once; for an answer
    under another type; and for anything else that was sealed by a stranger.
    """
    for field in sealed:
        if _sender(field, trusted) is None and field.opened.sender_key_id not in own:
            raise UntrustedSender(f"{field.name} was sealed by {field.opened.sender_key_id}, who is not trusted")
    answers = [field for field in sealed if field.name == HUMAN_FIELDS[RESPONSE_TYPE]]
    if answers and event_type != RESPONSE_TYPE:
        raise UntrustedSender("an answer came as an event of another type")
    wanted = HUMAN_FIELDS.get(event_type)
    if wanted is None:
        return None
    said = [field for field in sealed if field.name == wanted]
    if len(said) != 1:
        raise UntrustedSender(f"{len(said)} fields called {wanted} were sealed, not one")
    sender = _sender(said[0], trusted)
    if sender is None:
        raise UntrustedSender(f"{wanted} was sealed by the agent itself")
    return sender


def _sender(field: SealedField, trusted: TrustedSenders) -> TrustedSender | None:
    return trusted.find(field.opened.sender_key_id, field.opened.sender_public_key)
