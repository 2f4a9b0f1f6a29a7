"""What a user's handlers import: decorators, the event they get, and how they say how to go on.

from workers import on_response

@on_response(action="approve", agent="deploy-bot")
async def deploy(event): ...
"""

from receiver.errors import Discard, RetryLater
from workers.alerts import Alert, on_alert
from workers.opened import OpenedEvent, Replay
from workers.registry import Registry, fallback, on, on_response

__all__ = [
    "Alert",
    "Discard",
    "OpenedEvent",
    "Registry",
    "Replay",
    "RetryLater",
    "fallback",
    "on",
    "on_alert",
    "on_response",
]
