"""Every component of the SDK page is drawn, and what cannot be drawn is shown as it came."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance import examples

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Draws components as a message does, and notes the answers.
DRAW = """async (components) => {
    const { drawAll } = await import("/components.js");
    window.answers = [];
    const exchange = { controls: [], answer: (value) => window.answers.push(value) };
    document.querySelector("main").replaceChildren(...drawAll(components, exchange));
}"""
PAYLOAD = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>[x](javascript:window.hit=1)'


def draw(page: Page, *components: Any) -> Locator:
    page.evaluate(DRAW, list(components))
    return page.locator("main")


def answers(page: Page) -> Any:
    return page.evaluate("window.answers")


def texts(locator: Locator) -> list[str]:
    return [text.strip() for text in locator.all_inner_texts()]


def question(**given: Any) -> dict[str, Any]:
    return {"type": "qa", "data": {"questions": [{"id": "q", "label": "Question", **given}]}}


def test_quick_start(page: Page) -> None:
    main = draw(page, *examples.QUICK_START)
    assert main.get_by_text("Ready to deploy.").is_visible()
    group = main.get_by_role("group", name="Your answer")
    assert texts(group.get_by_role("button")) == ["Approve", "Reject"]
    assert group.get_by_role("button", name="Approve").get_attribute("class") == "primary"
    assert group.get_by_role("button", name="Reject").get_attribute("class") == "danger"
    group.get_by_role("button", name="Reject").click()
    assert answers(page) == ["reject"]


def test_a_button_of_another_variant_is_secondary(page: Page) -> None:
    buttons = [{"label": "Later", "action": "later"}, {"label": "Odd", "action": "odd", "variant": "x y"}]
    main = draw(page, {"type": "button_group", "data": {"buttons": buttons}})
    assert [button.get_attribute("class") for button in main.get_by_role("button").all()] == ["secondary"] * 2


def test_approval_key_values(page: Page) -> None:
    main = draw(page, *examples.APPROVAL)
    assert texts(main.get_by_role("term")) == ["Service", "Version", "Changes", "Author"]
    definitions = ["api-gateway", "2.4.1", "12 features, 34 fixes", "ci-bot"]
    assert texts(main.get_by_role("definition")) == definitions


def test_report_metrics_and_table(page: Page) -> None:
    main = draw(page, *examples.REPORT)
    assert texts(main.get_by_role("term")) == ["Revenue", "New MRR", "Churn"]
    assert main.locator(".rise").all_text_contents() == ["up +14%", "up +8%"]
    assert main.locator(".fall").all_text_contents() == ["down -0.3%"]
    colours = [
        main.locator(kind).first.evaluate("(node) => getComputedStyle(node).color") for kind in (".rise", ".fall")
    ]
    assert colours[0] != colours[1]
    table = main.get_by_role("table")
    assert texts(table.get_by_role("columnheader")) == ["Region", "Revenue", "Growth"]
    rows = [texts(row.get_by_role("cell")) for row in table.get_by_role("row").all()[1:]]
    assert rows == examples.REPORT[1]["data"]["rows"]


def test_form_with_nothing_required(page: Page) -> None:
    main = draw(page, examples.FORM)
    assert texts(main.get_by_role("radiogroup", name="Severity?").locator("label")) == [
        "Critical",
        "High",
        "Medium",
        "Low",
    ]
    main.get_by_role("button", name="Send answers").click()
    assert answers(page) == [{"severity": None, "affected": [], "details": ""}]
    main.get_by_role("radio", name="High").check()
    main.get_by_role("checkbox", name="API").check()
    main.get_by_role("checkbox", name="Database").check()
    main.get_by_role("textbox", name="Description").fill("line one\nline two")
    main.get_by_role("button", name="Send answers").click()
    expected = {"severity": "High", "affected": ["API", "Database"], "details": "line one\nline two"}
    assert answers(page)[1:] == [expected]


@pytest.mark.parametrize(
    ("given_", "role", "complaint"),
    [
        ({"type": "radio", "options": ["a", "b"]}, "radio", "Please choose one."),
        ({"type": "checkbox", "options": ["a", "b"]}, "checkbox", "Please choose at least one."),
        ({"type": "textarea"}, "textbox", "Please fill this in."),
        ({"type": "text"}, "textbox", "Please fill this in."),
        ({"type": "never heard of"}, "textbox", "Please fill this in."),
    ],
)
def test_what_is_required_is_asked_for(page: Page, given_: dict[str, Any], role: Any, complaint: str) -> None:
    main = draw(page, question(required=True, **given_))
    main.get_by_role("button", name="Send answers").click()
    assert answers(page) == []
    first = main.get_by_role(role).first
    assert first.evaluate("(node) => node === document.activeElement")
    assert first.get_attribute("aria-invalid") == "true"
    described = first.evaluate("(node) => document.getElementById(node.getAttribute('aria-describedby')).innerText")
    assert described == complaint
    assert main.get_by_role("alert").inner_text() == "One question needs another look."
    if role == "textbox":
        first.fill("x")
    else:
        first.check()
    assert first.get_attribute("aria-invalid") == "false"
    main.get_by_role("button", name="Send answers").click()
    assert len(answers(page)) == 1


def test_lengths_are_checked_where_something_is_written(page: Page) -> None:
    main = draw(page, question(type="text", minLength=3, maxLength=5))
    box, send = main.get_by_role("textbox"), main.get_by_role("button", name="Send answers")
    for text, complaint in (
        ("ab", "Please write at least 3 characters."),
        ("abcdef", "Please write at most 5 characters."),
    ):
        box.fill(text)
        send.click()
        assert main.get_by_text(complaint).is_visible()
    box.fill("abcd")
    send.click()
    assert answers(page) == [{"q": "abcd"}]


def test_tabs_by_mouse_and_keyboard(page: Page) -> None:
    main = draw(page, examples.TABS)
    overview, endpoints = main.get_by_role("tab", name="Overview"), main.get_by_role("tab", name="Endpoints")
    assert main.get_by_role("tabpanel", name="Overview").get_by_text("99.97%").is_visible()
    assert main.get_by_role("table").count() == 0
    endpoints.click()
    assert endpoints.get_attribute("aria-selected") == "true"
    assert main.get_by_role("tabpanel", name="Endpoints").get_by_role("table").is_visible()
    for key, expected in (
        ("ArrowRight", overview),
        ("ArrowLeft", endpoints),
        ("Home", overview),
        ("End", endpoints),
    ):
        page.keyboard.press(key)
        assert expected.evaluate("(node) => node === document.activeElement")
        assert expected.get_attribute("aria-selected") == "true"
    page.keyboard.press("Tab")
    assert main.get_by_role("tabpanel", name="Endpoints").evaluate("(node) => node === document.activeElement")


def test_tabs_in_tabs(page: Page) -> None:
    outer = {
        "type": "tabs",
        "children": [
            {"type": "tab", "data": {"label": "Outer"}, "children": [examples.TABS, examples.BUTTONS]},
            {"type": "tab", "data": {"label": "Form"}, "children": [examples.FORM]},
        ],
    }
    main = draw(page, outer)
    inner = main.get_by_role("tabpanel", name="Outer")
    inner.get_by_role("tab", name="Endpoints").click()
    assert inner.get_by_role("table").is_visible()
    assert main.get_by_role("tab", name="Outer").get_attribute("aria-selected") == "true"
    inner.get_by_role("button", name="Approve").click()
    main.get_by_role("tab", name="Form").click()
    main.get_by_role("button", name="Send answers").click()
    assert answers(page) == ["approve", {"severity": None, "affected": [], "details": ""}]


@pytest.mark.parametrize(
    ("kind", "shape", "count"),
    [("bar", "rect.bar", 7), ("line", "circle.dot", 7), ("area", "path.fill", 3), ("pie", "path.slice", 4)],
)
def test_charts(page: Page, kind: str, shape: str, count: int) -> None:
    series: dict[str, Any] = {"North": [3, 4, 4.5, 5]}
    if kind != "pie":
        series["South"] = [1, 2, None, -1]
    main = draw(page, examples.chart(kind, **series))
    image = main.get_by_role("img", name=f"Revenue, {kind} ({kind})")
    image.locator(shape).first.wait_for()
    assert image.locator(shape).count() == count
    legend = ["Q1", "Q2", "Q3", "Q4"] if kind == "pie" else ["North", "South"]
    assert texts(main.locator(".legend li")) == legend
    main.get_by_text("Numbers").click()
    numbers = main.get_by_role("table", name="The chart's numbers")
    assert texts(numbers.get_by_role("row").nth(1).get_by_role("cell"))[:2] == ["Q1", "3"]


def test_a_chart_in_a_hidden_tab_is_drawn_when_it_shows(page: Page) -> None:
    hidden = {
        "type": "tab",
        "data": {"label": "Chart"},
        "children": [examples.chart("bar", North=[1, 2, 3, 4])],
    }
    main = draw(page, {"type": "tabs", "children": [examples.TABS["children"][0], hidden]})
    main.get_by_role("tab", name="Chart").click()
    main.locator("rect.bar").nth(3).wait_for()


@pytest.mark.parametrize("values", [[0, 0], [5], [1e-9, 2e-9], [-3, -1], [1e15, 0], [7, 7]])
def test_charts_of_odd_numbers_stay_inside_their_frame(page: Page, values: list[float]) -> None:
    labels = [f"a rather long label {index}" for index in range(len(values))]
    data = [{"labels": labels, "series": [{"values": values}], "type": kind} for kind in ("bar", "line", "area")]
    main = draw(page, *({"type": "chart", "data": each} for each in data))
    main.locator("svg text").first.wait_for()
    outside = main.locator("svg").evaluate_all(
        """(all) => all.flatMap((svg) => [...svg.querySelectorAll("rect, path, circle")].filter((shape) => {
            const box = shape.getBBox();
            const [right, bottom] = [box.x + box.width, box.y + box.height];
            return !(box.x >= 0 && right <= svg.clientWidth && box.y >= 0 && bottom <= 220);
        }).map((shape) => shape.outerHTML))"""
    )
    assert outside == []


@pytest.mark.parametrize(
    "component",
    [
        {"type": "video", "data": {"src": "x"}},
        {"type": "constructor"},
        {"type": ["text"]},
        {"type": "text"},
        {"type": "kv", "data": {"entries": {"Service": "api"}}},
        {"type": "kv", "data": {"entries": [None]}},
        {"type": "metric_grid", "data": {"metrics": 7}},
        {"type": "table", "data": {"headers": ["a"], "rows": [1, 2]}},
        {"type": "qa", "data": {"questions": [{"id": "q", "type": "radio"}]}},
        {"type": "qa", "data": {"questions": [None]}},
        {"type": "button_group", "data": {"buttons": [None]}},
        {"type": "tabs"},
        {"type": "chart", "data": {"type": "radar", "labels": [], "series": [{"values": []}]}},
        {"type": "chart", "data": {"type": "bar", "labels": ["a"], "series": []}},
        {"type": "chart", "data": {"type": "bar", "labels": ["a"], "series": [{"values": ["1"]}]}},
        {"type": "chart", "data": {"type": "line", "labels": [], "series": [{"values": []}]}},
        {"type": "chart", "data": {"type": "pie", "labels": ["a"], "series": [{"values": [-1]}]}},
        {},
        None,
        "text",
        7,
        [],
    ],
    ids=lambda component: json.dumps(component)[:60],
)
def test_what_cannot_be_drawn_is_shown_as_json(page: Page, component: Any) -> None:
    main = draw(page, component, examples.BUTTONS)
    shown = main.locator(".undrawable")
    assert json.loads(shown.locator("pre").inner_text()) == component
    assert main.get_by_role("button", name="Approve").is_visible(), "the rest of the message is drawn all the same"


def test_components_that_are_no_list_are_shown_too(page: Page) -> None:
    page.evaluate(DRAW, {"type": "text"})
    assert page.get_by_text("This message's components are not a list").is_visible()


def test_nesting_ends_somewhere(page: Page) -> None:
    component: dict[str, Any] = examples.BUTTONS
    for _ in range(40):
        component = {"type": "tabs", "children": [component]}
    assert draw(page, component).get_by_text("Nested too deeply").is_visible()


def test_markdown_is_drawn_and_its_raw_html_is_text(page: Page) -> None:
    text = (
        "# Title\nfirst *line*\nsecond **line**\n\n- one\n- `two *stars*`\n\n1. a\n2. b\n\n"
        "```sh\nrm -rf <b>\n```\n[docs](https://example.com/a?b) [no](javascript:alert(1)) <b>bold</b>"
    )
    main = draw(page, {"type": "text", "data": {"content": text}})
    assert main.get_by_role("heading", name="Title").is_visible()
    assert texts(main.locator("em, strong")) == ["line", "line"]
    assert texts(main.get_by_role("listitem")) == ["one", "two *stars*", "a", "b"]
    assert main.locator("pre").inner_text() == "rm -rf <b>"
    [link] = main.get_by_role("link").all()
    assert link.get_attribute("href") == "https://example.com/a?b"
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert main.get_by_text("[no](javascript:alert(1)) <b>bold</b>").is_visible()


def test_no_text_anywhere_becomes_markup(page: Page) -> None:
    def poisoned(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: poisoned(child, key) for key, child in value.items()}
        if isinstance(value, list):
            return [poisoned(child, name) for child in value]
        return PAYLOAD if isinstance(value, str) and name not in ("type", "variant") else value

    every = [
        *examples.QUICK_START,
        *examples.APPROVAL,
        *examples.REPORT,
        examples.FORM,
        examples.TABS,
        *(examples.chart(kind, **{PAYLOAD: [1, 2, 3, 4]}) for kind in ("bar", "line", "area", "pie")),
        {"type": "video"},
    ]
    everything = [
        *poisoned(every),
        {"type": PAYLOAD, "data": {PAYLOAD: PAYLOAD}},
        question(placeholder=PAYLOAD),
    ]
    main = draw(page, *everything)
    main.locator("svg .dot").first.wait_for()
    assert main.locator("img, script, a, iframe").count() == 0
    assert page.evaluate("window.hit") is None
    for role in ("button", "term", "definition", "cell", "columnheader", "tab", "radiogroup"):
        found = main.get_by_role(role).filter(has_text="<img src=x onerror=")
        assert found.count() > 0, f"no {role} shows the payload as text"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "data", "children", "label", "id", "options", "values", "labels"]),
            children,
        )
    ),
    max_leaves=8,
)
names = [
    "content",
    "buttons",
    "entries",
    "metrics",
    "headers",
    "rows",
    "questions",
    "labels",
    "series",
    "type",
]
components = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["text", "button_group", "kv", "metric_grid", "table", "chart", "qa", "tabs", "tab"]),
        "data": st.dictionaries(st.sampled_from(names), json_values) | json_values,
        "children": json_values,
    }
)


@settings(max_examples=60, deadline=None)  # a browser on a busy machine may take its time
@given(st.lists(components | json_values, min_size=1, max_size=4))
def test_anything_is_drawn_somehow(page: Page, anything: list[Any]) -> None:
    main = draw(page, *anything)
    assert main.evaluate("(node) => node.childElementCount") == len(anything)
