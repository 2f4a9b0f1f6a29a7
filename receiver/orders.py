"""What the dashboard wants done, and workers do: replay, discard, have deliveries sent again.

The web process has no API key and moves no event itself: it writes an order, and a worker carries it out
(`workers.orders`). Redis is not to be trusted: an order is data of a fixed shape, which the worker checks before it
does anything, and it can name nothing but what the commands of the same names can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Self
from uuid import uuid4

import redis

from receiver.errors import InvalidOrder, TooManyOrders
from receiver.layout import Layout
from receiver.stored import Filter

# `look`: ask the platform for its list of deliveries now.
KINDS: Final = ("replay", "discard", "redeliver", "look")
STATES: Final = ("waiting", "running", "done", "failed", "refused")
MAX_IDS: Final = 200
MAX_WAITING: Final = 20
MAX_TEXT: Final = 256
KEPT_SECONDS: Final = 7 * 86400
KEPT: Final = 100
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_ORDER_ID: Final = re.compile(r"ord_[0-9a-f]{32}", re.ASCII)
_STATUSES: Final = {"replay": ("failed", "handled"), "discard": ("failed",)}
_TIMES: Final = ("since", "until")


@dataclass(frozen=True, slots=True)
class Order:
    """One order. Of a replay or discard either ``ids`` of events or a filter (``wanted``) says which events; of a
    redelivery ``ids`` are of ``agent``'s deliveries.

    ``seen_at`` (Unix seconds): when the person saw what it would touch. Events that ended later are left alone, so an
    order that a worker began and another one ends touches nothing twice. ``by``: who gave it. ``why``: a word for
    handlers and logs.
    """

    kind: str
    by: str
    seen_at: float
    ids: tuple[str, ...] = ()
    wanted: Filter | None = None
    agent: str = ""
    why: str = ""

    def to_json(self) -> str:
        """As Redis keeps it."""
        plain = {"kind": self.kind, "by": self.by, "seen_at": self.seen_at, "ids": list(self.ids)}
        return json.dumps({**plain, "wanted": _plain(self.wanted), "agent": self.agent, "why": self.why})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises `InvalidOrder` for anything else."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidOrder("an order must be JSON") from None
        if not isinstance(raw, dict) or raw.keys() != {one.name for one in fields(cls)}:
            raise InvalidOrder("an order must have its fields and no others")
        ids, seen_at = raw["ids"], raw["seen_at"]
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise InvalidOrder("ids must be a list of ids")
        if not isinstance(seen_at, float | int) or not 0 < seen_at < 2e11:
            raise InvalidOrder("seen_at must be a time")
        texts = {name: _text(raw, name) for name in ("kind", "by", "agent", "why")}
        return cls(ids=tuple(ids), seen_at=float(seen_at), wanted=_filter(raw["wanted"]), **texts).checked()

    def checked(self) -> Self:
        """This order. Raises `InvalidOrder` if it is of no use, or wants more than an order may."""
        if self.kind not in KINDS:
            raise InvalidOrder("kind must be one of " + ", ".join(KINDS))
        if len(self.ids) > MAX_IDS or not all(_ID.fullmatch(one) for one in self.ids):
            raise InvalidOrder(f"ids must be at most {MAX_IDS} ids")
        if self.kind in _STATUSES:
            if bool(self.ids) == (self.wanted is not None):
                raise InvalidOrder("either ids or a filter must say which events")
            if self.wanted is not None and self.wanted.status not in _STATUSES[self.kind]:
                raise InvalidOrder(f"only events that are {' or '.join(_STATUSES[self.kind])} can be meant")
        elif self.wanted is not None or bool(self.ids) != (self.kind == "redeliver"):
            raise InvalidOrder("ids must say which deliveries, and no filter")
        return self

    def covers(self, ended_at: datetime | None) -> bool:
        """Whether an event that ended then was there when the order was given."""
        return ended_at is None or ended_at.timestamp() <= self.seen_at


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order and how far it is. ``state`` is one of `STATES`; ``order`` is None if it is unreadable; ``total`` and
    ``done`` count events or deliveries; ``result`` says what came of it, in numbers by name; ``problem`` is the short
    name of what stopped it. Times are Unix seconds.
    """

    id: str
    order: Order | None
    state: str
    total: int
    done: int
    result: Mapping[str, int]
    problem: str
    given_at: float
    ended_at: float

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ("waiting", "running")


class Orders:
    """The orders of one queue. Raises `redis.RedisError` where Redis cannot be reached."""

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        self._redis: Any = connection
        self._layout = layout
        self._line = layout.own("orders")
        self._given = layout.own("orders_given")

    def now(self) -> float:
        """Redis's time (Unix seconds), by which events end."""
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6

    def give(self, order: Order) -> str:
        """Have a worker carry it out. Returns the order's id. Raises `InvalidOrder` and `TooManyOrders`."""
        text, order_id = order.checked().to_json(), f"ord_{uuid4().hex}"
        key = self._key(order_id)
        with self._redis.pipeline() as pipe:
            pipe.hset(key, mapping={"order": text, "state": "waiting", "given_at": self.now()})
            pipe.expire(key, KEPT_SECONDS)
            pipe.rpush(self._line, order_id)
            *_, waiting = pipe.execute()
        if waiting > MAX_WAITING:
            with self._redis.pipeline() as pipe:
                pipe.lrem(self._line, 1, order_id)
                pipe.delete(key)
                pipe.execute()
            raise TooManyOrders(f"{MAX_WAITING} orders wait already; is a worker running?")
        with self._redis.pipeline() as pipe:
            pipe.lpush(self._given, order_id)
            pipe.ltrim(self._given, 0, KEPT - 1)
            pipe.expire(self._given, KEPT_SECONDS)
            pipe.execute()
        return order_id

    def state(self, order_id: str) -> OrderState | None:
        """How far an order is; None if there is none (any more)."""
        return self._read([order_id])[0] if _ORDER_ID.fullmatch(order_id) else None

    def latest(self, number: int = 50) -> list[OrderState]:
        """The orders given last, the latest first."""
        ids = [one.decode("utf-8", "replace") for one in self._redis.lrange(self._given, 0, number - 1)]
        return [state for state in self._read(ids) if state is not None]

    def waiting(self) -> int:
        """How many are not carried out yet."""
        return int(self._redis.llen(self._line))

    def first(self) -> str | None:
        """The order to carry out next, or to go on with; what is no order's id is thrown away."""
        while (first := self._redis.lindex(self._line, 0)) is not None:
            text = first.decode("utf-8", "replace")
            if _ORDER_ID.fullmatch(text) and self._redis.exists(self._key(text)):
                return str(text)
            self._redis.lrem(self._line, 0, first)
        return None

    def begin(self, order_id: str) -> int:
        """Note that a worker is at it. Returns how often one has been."""
        with self._redis.pipeline() as pipe:
            pipe.hset(self._key(order_id), "state", "running")
            pipe.hincrby(self._key(order_id), "begun", 1)
            _, begun = pipe.execute()
        return int(begun)

    def progress(self, order_id: str, done: int, total: int) -> None:
        """Note how far it is."""
        self._redis.hset(self._key(order_id), mapping={"done": done, "total": total})

    def end(self, order_id: str, state: str, result: Mapping[str, int] | None = None, problem: str = "") -> None:
        """Note what came of it, and take it out of the line."""
        told = {"state": state, "result": json.dumps(result or {}), "problem": problem, "ended_at": self.now()}
        with self._redis.pipeline() as pipe:
            pipe.hset(self._key(order_id), mapping=told)
            pipe.expire(self._key(order_id), KEPT_SECONDS)
            pipe.lrem(self._line, 0, order_id)
            pipe.execute()

    def _key(self, order_id: str) -> str:
        return self._layout.own(f"order:{order_id}")

    def _read(self, order_ids: list[str]) -> list[OrderState | None]:
        with self._redis.pipeline(transaction=False) as pipe:
            for order_id in order_ids:
                pipe.hgetall(self._key(order_id))
            found = pipe.execute()
        return [_state(order_id, raw) if raw else None for order_id, raw in zip(order_ids, found, strict=True)]


def _state(order_id: str, raw: Mapping[bytes, bytes]) -> OrderState:
    text = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}
    try:
        order = Order.from_json(text.get("order", ""))
    except InvalidOrder:
        order = None
    state = text.get("state", "")
    return OrderState(
        id=order_id,
        order=order,
        state=state if state in STATES else "refused",
        total=_whole(text.get("total")),
        done=_whole(text.get("done")),
        result=_numbers(text.get("result", "")),
        problem=text.get("problem", "")[:MAX_TEXT],
        given_at=_seconds(text.get("given_at")),
        ended_at=_seconds(text.get("ended_at")),
    )


def _plain(wanted: Filter | None) -> dict[str, str] | None:
    if wanted is None:
        return None
    values = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def _filter(raw: Any) -> Filter | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or not raw.keys() <= {one.name for one in fields(Filter)} or "status" not in raw:
        raise InvalidOrder("a filter must have the fields of one")
    values: dict[str, Any] = {name: _text(raw, name) for name in raw}
    for name in _TIMES:
        if name in values:
            values[name] = _time(values[name])
    return Filter(**values)


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw[name]
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidOrder(f"{name} must be a text of at most {MAX_TEXT} characters")
    return value


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidOrder("a filter's times must be ISO 8601") from None


def _numbers(text: str) -> dict[str, int]:
    try:
        raw = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    whole = raw.items() if isinstance(raw, dict) else ()
    return {str(name)[:64]: value for name, value in list(whole)[:10] if isinstance(value, int)}


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < 2e11 else 0.0
