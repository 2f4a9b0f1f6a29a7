"""The dashboard in a real browser: log in, find what failed, replay it, see it handled; hostile names stay text."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from receiver.layout import Layout
from receiver.noted import DeliveryNote, HandlerNote, PlatformNote
from tests.acceptance.browser import visiting
from tests.acceptance.dashboard import READ_TOKEN, Stage, staged
from tests.support.processes import CANARY
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

LAYOUT = Layout()
PAYLOAD = "<img src=x onerror=\"document.title='pwned'\">'\"><script>document.title='pwned'</script>\u202e{{7*7}}"
# The texts of a page whose contrast with what is behind them is less than WCAG AA demands.
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text("utf-8")
PAGES = ("/", "/?period=24h", "/events", "/events?status=handled", "/sessions", "/handlers", "/deliveries", "/orders")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One receiver for all tests of this file, each of which uses types and sessions of its own."""
    with staged(tmp_path_factory.mktemp("dashboard")) as stage:
        yield stage
        assert CANARY not in stage.web.log
        assert "Traceback" not in stage.web.log


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    """A page of somebody who may order."""
    with visiting(browser) as page:
        stage.log_in(page)
        yield page


def failed(stage: Stage, event: str) -> str:
    """An event that has become a dead letter."""
    (stage.folder / "broken").touch()
    stage.send(event_id=event, session_id=f"s-{event}", agent_name="billing-bot")
    wait_until(lambda: stage.redis.hget(LAYOUT.rq(f"job:{event}"), "status") == b"failed", what=f"{event} failed")
    return event


def test_a_failed_event_is_found_replayed_and_handled(page: Page, stage: Stage) -> None:
    event = failed(stage, "evt_found")
    expect(page.locator("#live-state")).to_have_text("Live")
    expect(page.locator("[data-count=dead]")).to_be_visible()
    page.get_by_role("link", name="Events").first.click()
    page.get_by_label("Session").fill(f"s-{event}")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=event, exact=True).click()
    life = page.get_by_role("list").filter(has_text="accepted")
    expect(life).to_contain_text("handler_error")
    expect(page.get_by_text("RuntimeError at dashboard_handlers.py").first).to_be_visible()
    assert CANARY not in page.content()
    page.get_by_role("link", name="Replay …").click()
    expect(page.get_by_role("heading", name="Replay 1 event?")).to_be_visible()
    expect(page.get_by_text("tests.support.dashboard_handlers.charge")).to_be_visible()
    (stage.folder / "broken").unlink()
    page.get_by_label("Why").fill("mended")
    page.get_by_role("button", name="Replay 1 event").click()
    expect(page.get_by_text("put back into line")).to_be_visible()
    page.get_by_role("link", name=event, exact=True).click()
    expect(page.locator(".lead .status")).to_have_text("handled")
    expect(page.get_by_text("mended")).to_be_visible()
    assert "ordered" in stage.web.log
    assert "kind=replay by=Ada" in stage.web.log
    assert "carried out" in stage.worker.log


def test_it_works_without_javascript(browser: Browser, stage: Stage) -> None:
    event = failed(stage, "evt_plain")
    with visiting(browser, java_script_enabled=False) as page:
        stage.log_in(page, name="Bob")
        page.goto(f"{stage.url}/events?handler=*.charge&session=s-{event}")
        page.get_by_role("link", name="Discard …").click()
        page.get_by_role("button", name="Discard 1 event").click()
        expect(page.get_by_role("heading", name="Discard")).to_be_visible()
        expect(page.get_by_text("ordered by")).to_be_visible()
        expect(page.locator(".heading .status")).to_have_text("done")  # the page asks again by itself
        page.goto(f"{stage.url}/event?id={event}")
        expect(page.get_by_text("It was accepted, and is not kept any more")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        page.goto(f"{stage.url}/events")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_all_that_match_a_filter_and_no_more(page: Page, stage: Stage) -> None:
    events = [failed(stage, f"evt_many_{number}") for number in range(3)]
    failed(stage, "evt_other")
    stage.send("invoice.special", event_id="evt_special", session_id="s-special", agent_name="special-bot")
    wait_until(lambda: stage.redis.hget(LAYOUT.rq("job:evt_special"), "status") == b"failed")
    page.goto(f"{stage.url}/discard?status=failed&type=invoice.s*")
    expect(page.get_by_role("heading", name="Discard 1 event?")).to_be_visible()
    page.get_by_role("button", name="Discard 1 event").click()
    expect(page.get_by_text("discarded")).to_be_visible()
    left = stage.redis.zrange(LAYOUT.rq("failed:hiloop"), 0, -1)
    assert {one.decode() for one in left} >= {*events, "evt_other"}
    assert b"evt_special" not in left


def test_a_deliverys_retry_reaches_the_platform(page: Page, stage: Stage) -> None:
    with stage.platform() as (webhook, client):
        client.create_session(title="Never arrives at first")
        wait_until(lambda: client.list_webhook_deliveries().items[0].status == "Failed")
        stage.mend(webhook)
        page.goto(f"{stage.url}/deliveries")
        page.get_by_role("button", name="Ask").first.click()
        expect(page.get_by_text("deliveries listed")).to_be_visible()
        page.get_by_role("link", name="To the deliveries").click()
        expect(page.get_by_text("not here")).to_be_visible()
        page.get_by_role("checkbox", name="All").check()
        page.get_by_role("button", name="Have those chosen sent again").click()
        expect(page.get_by_text("asked for", exact=True)).to_be_visible()
        wait_until(lambda: client.list_webhook_deliveries().items[0].status == "Delivered")
        page.goto(f"{stage.url}/deliveries")
        expect(page.get_by_text("not here")).to_have_count(0)
    stage.redis.delete(LAYOUT.own("deliveries"))


def test_hostile_names_stay_text_everywhere(page: Page, stage: Stage) -> None:
    (stage.folder / "broken").touch()
    fields = {"agent_name": PAYLOAD, "deliveryId": PAYLOAD, "spaceId": PAYLOAD, "agentId": PAYLOAD}
    stage.send(f"invoice.{PAYLOAD}", event_id="evt_hostile", session_id=PAYLOAD, priority=PAYLOAD, **fields)
    stage.send(f"gate.{PAYLOAD}", event_id="evt_hostile_waits", session_id=f"{PAYLOAD}2", **fields)
    wait_until(lambda: stage.redis.hget(LAYOUT.rq("job:evt_hostile"), "status") == b"failed")
    # Redis is hostile too.
    note = PlatformNote(time.time(), 1, 0, 0, 1, 0.0, 1.0, (_delivery(),)).to_json()
    stage.redis.hset(LAYOUT.own("deliveries"), PAYLOAD, note)
    matches = {"action": PAYLOAD, "agent": PAYLOAD}
    handler = HandlerNote(PAYLOAD, PAYLOAD, matches, False, True, True, 1, 1.0, time.time())
    stage.redis.hset(LAYOUT.own("catalog"), PAYLOAD, handler.to_json())
    stage.redis.hset(LAYOUT.own("dead_reasons"), PAYLOAD, 3)
    replay = json.dumps({"id": PAYLOAD, "reason": PAYLOAD})
    stage.redis.hset(LAYOUT.rq("job:evt_hostile"), mapping={"error": PAYLOAD, "replay": replay})
    minute = int(time.time() // 60)
    stage.redis.hset(LAYOUT.own(f"handlers:{minute}"), PAYLOAD, "0 0 0 3")
    order = "ord_" + "1" * 32
    stage.redis.hset(LAYOUT.own(f"order:{order}"), mapping={"order": PAYLOAD, "state": PAYLOAD, "problem": PAYLOAD})
    stage.redis.lpush(LAYOUT.own("orders_given"), order)
    stage.log_in_again(page, name=PAYLOAD)
    seen = 0
    places = ("/event?id=evt_hostile", "/event?id=evt_hostile_waits", f"/order?id={order}", "/replay?id=evt_hostile")
    for path in (*PAGES, *places, "/events?type=" + PAYLOAD.replace("&", "%26"), "/discard?type=invoice.*"):
        page.goto(stage.url + path)
        seen += page.get_by_text("<script>").count() > 0
        assert page.title() != "pwned", path
        assert page.locator("main img, main script").count() == 0, path
        assert "\u202e" not in page.locator("main").inner_text(), path
    assert seen >= 10
    page.goto(f"{stage.url}/events")
    page.locator("tr", has_text="evt_hostile").get_by_role("link").nth(1).click()
    expect(page.get_by_role("heading", name="Session")).to_contain_text("<script>")
    (stage.folder / "gate").touch()
    stage.redis.delete(LAYOUT.own("deliveries"), LAYOUT.own("orders_given"), LAYOUT.own("dead_reasons"))


def _delivery() -> DeliveryNote:
    text = PAYLOAD
    return DeliveryNote(text, text, text, text, "Failed", 1, 500, text, datetime.now(UTC), None)


def test_who_may_only_look_sees_no_buttons(browser: Browser, stage: Stage) -> None:
    event = failed(stage, "evt_look")
    with visiting(browser) as page:
        stage.log_in(page, READ_TOKEN)
        expect(page.get_by_text("read-only")).to_be_visible()
        for path in (*PAGES, f"/event?id={event}"):
            page.goto(stage.url + path)
            assert page.get_by_role("button").all_inner_texts() in (
                ["Log out"],
                ["Log out", "Filter"],
                ["Log out", "Show"],
            )
            assert page.get_by_role("link", name="…").count() == 0
        page.goto(f"{stage.url}/replay?id={event}")
        expect(page.get_by_role("heading", name="You may look, not change")).to_be_visible()


def test_a_session_shows_what_waits_behind_what(page: Page, stage: Stage) -> None:
    (stage.folder / "gate").unlink(missing_ok=True)
    for number in range(3):
        stage.send("gate.opened", event_id=f"evt_lane_{number}", session_id="s-lane")
    page.goto(f"{stage.url}/session?id=s-lane")
    lane = page.locator(".lane li")
    expect(lane).to_have_count(3)
    expect(lane.first).to_contain_text("running")
    expect(lane.nth(1)).to_contain_text("waits for the one above")
    page.goto(f"{stage.url}/sessions")
    expect(page.locator("tr", has_text="s-lane")).to_contain_text("2")
    page.goto(f"{stage.url}/session?id=s-lane")
    (stage.folder / "gate").touch()
    expect(page.get_by_text("Nothing waits or runs in this session.")).to_be_visible()  # by itself
    expect(page.locator("tbody tr")).to_have_count(3)


def test_the_overview_is_live(page: Page, stage: Stage) -> None:
    # A chart's place says what it counts.
    before = page.locator(".key .accepted b").first.inner_text()
    stage.send("response.created", session_id="s-live")
    expect(page.locator(".key .accepted b").first).not_to_have_text(before)
    page.locator("#events-table summary").click()
    expect(page.locator("#events-table tbody tr")).to_have_count(60)


def test_handlers_show_what_they_match(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.url}/handlers")
    deploy = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="dashboard_handlers.deploy"))
    expect(deploy).to_contain_text("action=approve")
    expect(deploy).to_contain_text("agent=deploy-*")
    expect(deploy).to_contain_text("at most 20s")


def test_it_fits_and_its_colours_can_be_told_apart(page: Page, stage: Stage) -> None:
    for path in PAGES:
        page.goto(stage.url + path)
        for width in (360, 820, 1440):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") == width, (path, width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            assert page.evaluate(CONTRASTS) == [], (path, scheme)


def test_the_keyboard_gets_past_the_navigation(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
