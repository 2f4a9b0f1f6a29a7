"""Orders on a real server: carried out once, bounded, gone on with after a crash, and hostile ones dropped."""

from __future__ import annotations

import json
import time

import pytest
import redis
from structlog.testing import capture_logs

from receiver.errors import TooManyOrders
from receiver.layout import Layout
from receiver.noted import HandlerNote
from receiver.orders import MAX_WAITING, Order, Orders
from receiver.settings import WorkerSettings
from receiver.stored import Filter
from tests.support.scripts import KEEP_DEAD, Scripts
from workers.catalog import Catalog
from workers.orders import MOST_TRIES, OrderTask
from workers.registry import Registry

SETTINGS = WorkerSettings()
HOSTILE = [b"{}", b"\xff", b"os.system", json.dumps({"kind": "run"}).encode()]


@pytest.fixture
def orders(redis_client: redis.Redis) -> Orders:
    return Orders(redis_client, Layout())


@pytest.fixture
def task(redis_client: redis.Redis) -> OrderTask:
    return OrderTask(SETTINGS, redis_client, [])


def fail(scripts: Scripts, *events: str) -> None:
    """Make dead letters of these events."""
    scripts.accept(*events)
    for _ in events:
        fail_next(scripts)


def fail_next(scripts: Scripts) -> None:
    """Make the next event a dead letter."""
    assert scripts.close(scripts.claim(), "dead", reason="handler_error") == 1


def round_of(task: OrderTask) -> None:
    """One look for orders, as the thread does it."""
    task._work_alone()


def seen_now(orders: Orders, kind: str = "replay", **which: object) -> Order:
    return Order(kind, "Ada", orders.now(), **which)  # type: ignore[arg-type]


def test_a_replay_by_filter(scripts: Scripts, orders: Orders, task: OrderTask) -> None:
    fail(scripts, "evt_1", "evt_2")
    order_id = orders.give(seen_now(orders, wanted=Filter(), why="mended"))
    assert orders.state(order_id).state == "waiting"  # type: ignore[union-attr]
    round_of(task)
    state = orders.state(order_id)
    assert state is not None
    assert (state.state, state.done, state.total) == ("done", 2, 2)
    assert state.result == {"done": 2, "gone": 0, "without_body": 0}
    assert scripts.queue() == ["evt_1", "evt_2"]
    assert json.loads(scripts.field("evt_1", "replay") or "")["reason"] == "mended"
    assert orders.waiting() == 0
    assert [one.id for one in orders.latest()] == [order_id]


def test_a_discard_by_ids(scripts: Scripts, orders: Orders, task: OrderTask) -> None:
    fail(scripts, "evt_1", "evt_2")
    orders.give(seen_now(orders, "discard", ids=("evt_2", "evt_nobody")))
    round_of(task)
    assert scripts.members("failed") == ["evt_1"]


def test_an_order_gone_on_with_touches_nothing_twice(scripts: Scripts, orders: Orders, task: OrderTask) -> None:
    fail(scripts, "evt_1", "evt_2")
    order_id = orders.give(seen_now(orders, wanted=Filter()))
    # A worker puts one event back and is killed; the event fails once more.
    orders.begin(order_id)
    scripts.replay("evt_1")
    time.sleep(0.002)  # ends are told apart by milliseconds
    fail_next(scripts)
    round_of(task)
    assert scripts.members("failed") == ["evt_1"]
    assert scripts.queue() == ["evt_2"]
    assert orders.state(order_id).result["done"] == 1  # type: ignore[union-attr]


def test_an_order_that_ends_workers_is_given_up(orders: Orders, task: OrderTask) -> None:
    order_id = orders.give(seen_now(orders, wanted=Filter()))
    for _ in range(MOST_TRIES):
        orders.begin(order_id)
    round_of(task)
    state = orders.state(order_id)
    assert state is not None
    assert (state.state, state.problem, orders.waiting()) == ("failed", "worker_lost", 0)


def test_only_one_worker_at_a_time(orders: Orders, task: OrderTask, redis_client: redis.Redis) -> None:
    orders.give(seen_now(orders, wanted=Filter()))
    redis_client.set(Layout().own("orderly"), "another worker", px=60_000)
    round_of(task)
    assert orders.waiting() == 1


def test_nothing_is_asked_of_redis_but_whether_there_is_an_order(task: OrderTask, redis_client: redis.Redis) -> None:
    round_of(task)
    redis_client.config_resetstat()
    round_of(task)
    calls = redis_client.info("commandstats")
    assert {name for name in calls if name.startswith("cmdstat_")} - {"cmdstat_config|resetstat"} == {"cmdstat_llen"}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_order_is_dropped_with_a_line_in_the_log(
    orders: Orders, task: OrderTask, redis_client: redis.Redis, text: bytes
) -> None:
    order_id = "ord_" + "0" * 32
    redis_client.hset(Layout().own(f"order:{order_id}"), mapping={"order": text, "state": "waiting"})
    redis_client.rpush(Layout().own("orders"), "no order's id", b"\xff", order_id)
    with capture_logs() as logs:
        round_of(task)
    state = orders.state(order_id)
    assert state is not None
    assert (state.state, orders.waiting()) == ("refused", 0)
    assert [line["event"] for line in logs] == ["dropped an order that is none"]


def test_asking_the_platform_needs_a_key(orders: Orders, task: OrderTask) -> None:
    order_id = orders.give(Order("redeliver", "Ada", orders.now(), ids=("dlv_1",), agent="deploy-bot"))
    round_of(task)
    state = orders.state(order_id)
    assert state is not None
    assert state.state == "refused"
    assert "HILOOP_API_KEY" in state.problem


def test_orders_are_not_taken_without_end(orders: Orders, redis_client: redis.Redis) -> None:
    for _ in range(MAX_WAITING):
        orders.give(seen_now(orders, wanted=Filter()))
    with pytest.raises(TooManyOrders):
        orders.give(seen_now(orders, wanted=Filter()))
    assert orders.waiting() == MAX_WAITING
    assert len(redis_client.keys(Layout().own("order:*"))) == MAX_WAITING
    ttl = [redis_client.ttl(key) for key in redis_client.keys(Layout().own("order*")) if b"order:" in key]
    assert min(ttl) > KEEP_DEAD


def test_handlers_are_noted_and_forgotten(redis_client: redis.Redis) -> None:
    registry, key = Registry(), Layout().own("catalog")
    registry.on("a.*", agent="b", retries=1)(print_event)
    redis_client.hset(key, "long.gone", HandlerNote("long.gone", "*", {}, False, True, True, 0, 1.0, 1.0).to_json())
    Catalog(SETTINGS, redis_client, registry).work()
    (name,), ttl = redis_client.hkeys(key), redis_client.ttl(key)
    note = HandlerNote.from_json(name.decode(), redis_client.hget(key, name).decode())
    assert (note.type, note.matches, note.retries, note.is_async) == ("a.*", {"agent": "b"}, 1, False)
    assert 0 < ttl <= 3600


def print_event(event: object) -> None:
    """A handler."""
