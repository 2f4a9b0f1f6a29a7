"""Hiloop's API with end-to-end encryption: `HiloopClient` and `AsyncHiloopClient`, and all that they return.

The logic stands in pure modules, as generators that yield requests; `sync_edge` and `async_edge` send these
with httpx.
"""

from receiver.client.async_edge import AsyncHiloopClient
from receiver.client.components import (
    button,
    button_group,
    chart,
    checkbox,
    kv,
    metric,
    metric_grid,
    qa,
    radio,
    series,
    tab,
    table,
    tabs,
    text,
    textarea,
)
from receiver.client.listings import AsyncPage, Page
from receiver.client.models import (
    GuestToken,
    Message,
    NoResponse,
    Participant,
    PublicKey,
    Response,
    RetriedDeliveries,
    Session,
    TimelineItem,
    UnknownItem,
    WebhookDelivery,
    WebhookDeliveryStats,
)
from receiver.client.retries import Retries
from receiver.client.sync_edge import HiloopClient
from receiver.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    HiloopError,
    MalformedAnswer,
    NotFound,
    RateLimited,
    TimedOut,
    ValidationFailed,
)

__all__ = [
    "AsyncHiloopClient",
    "AsyncPage",
    "AuthenticationFailed",
    "ConnectionFailed",
    "GuestToken",
    "HiloopClient",
    "HiloopError",
    "MalformedAnswer",
    "Message",
    "NoResponse",
    "NotFound",
    "Page",
    "Participant",
    "PublicKey",
    "RateLimited",
    "Response",
    "RetriedDeliveries",
    "Retries",
    "Session",
    "TimedOut",
    "TimelineItem",
    "UnknownItem",
    "ValidationFailed",
    "WebhookDelivery",
    "WebhookDeliveryStats",
    "button",
    "button_group",
    "chart",
    "checkbox",
    "kv",
    "metric",
    "metric_grid",
    "qa",
    "radio",
    "series",
    "tab",
    "table",
    "tabs",
    "text",
    "textarea",
]
