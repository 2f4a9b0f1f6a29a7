"""Builders and the check of components."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.client import (
    ValidationFailed,
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
from receiver.client.components import MAX_DEPTH, asks_for_answer, check_components

BUILT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (text("Ready."), {"type": "text", "data": {"content": "Ready."}}),
    "button_group": (
        button_group(button("Approve", "approve", "primary"), button("Reject", "reject")),
        {
            "type": "button_group",
            "data": {
                "buttons": [
                    {"label": "Approve", "action": "approve", "variant": "primary"},
                    {"label": "Reject", "action": "reject"},
                ]
            },
        },
    ),
    "kv": (
        kv({"Service": "api", "Port": 80}),
        {"type": "kv", "data": {"entries": [{"key": "Service", "value": "api"}, {"key": "Port", "value": 80}]}},
    ),
    "metric_grid": (
        metric_grid(metric("Revenue", "$4.87M", "+14%"), metric("Users", 7)),
        {
            "type": "metric_grid",
            "data": {
                "metrics": [
                    {"label": "Revenue", "value": "$4.87M", "change": "+14%"},
                    {"label": "Users", "value": 7},
                ]
            },
        },
    ),
    "table": (
        table(["Region", "Growth"], [["Europe", "+12%"], ["Asia", None]]),
        {"type": "table", "data": {"headers": ["Region", "Growth"], "rows": [["Europe", "+12%"], ["Asia", None]]}},
    ),
    "table without rows": (table(["Region"], []), {"type": "table", "data": {"headers": ["Region"], "rows": []}}),
    "chart": (
        chart("bar", ["Q1", "Q2"], series([1, None], "Sales"), title="Sales"),
        {
            "type": "chart",
            "data": {
                "type": "bar",
                "labels": ["Q1", "Q2"],
                "series": [{"name": "Sales", "values": [1, None]}],
                "title": "Sales",
            },
        },
    ),
    "qa": (
        qa(
            radio("severity", "Severity?", ["High", "Low"], required=True),
            checkbox("affected", "Affected", ["API"]),
            textarea("details", "Description"),
        ),
        {
            "type": "qa",
            "data": {
                "questions": [
                    {
                        "id": "severity",
                        "label": "Severity?",
                        "type": "radio",
                        "options": ["High", "Low"],
                        "required": True,
                    },
                    {"id": "affected", "label": "Affected", "type": "checkbox", "options": ["API"]},
                    {"id": "details", "label": "Description", "type": "textarea"},
                ]
            },
        },
    ),
    "tabs": (
        tabs(tab("Overview", text("Fine."))),
        {
            "type": "tabs",
            "children": [
                {
                    "type": "tab",
                    "data": {"label": "Overview"},
                    "children": [{"type": "text", "data": {"content": "Fine."}}],
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", BUILT)
def test_builders_make_what_one_would_write(name: str) -> None:
    built, written = BUILT[name]
    assert json.dumps(built) == json.dumps(written)
    assert check_components([built]) == [written]


def buttons(*each: Any) -> dict[str, Any]:
    return {"type": "button_group", "data": {"buttons": list(each)}}


def questions(*each: Any) -> dict[str, Any]:
    return {"type": "qa", "data": {"questions": list(each)}}


GOOD_QUESTION = {"id": "a", "label": "A", "type": "textarea"}


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ("text", "components must be a list"),
        ({"type": "text"}, "components must be a list"),
        ([], "components must not be empty"),
        (["text"], "components[0] must be an object"),
        ([{}], "components[0].type is missing"),
        ([{"type": 1}], "components[0].type must be a string"),
        ([{"type": "text"}], "components[0].data is missing"),
        ([{"type": "text", "data": None}], "components[0].data must be an object"),
        ([{"type": "text", "data": {"content": 1}}], "components[0].data.content must be a string"),
        ([text("a"), buttons({"label": "A"})], "components[1].data.buttons[0].action is missing"),
        ([buttons()], "components[0].data.buttons must not be empty"),
        (
            [buttons({"label": "A", "action": "a", "variant": 1})],
            "components[0].data.buttons[0].variant must be a string",
        ),
        ([{"type": "kv", "data": {"entries": {}}}], "components[0].data.entries must be a list"),
        ([{"type": "kv", "data": {"entries": [{"key": "a"}]}}], "components[0].data.entries[0].value is missing"),
        (
            [{"type": "kv", "data": {"entries": [{"key": "a", "value": []}]}}],
            "components[0].data.entries[0].value must be a string, a number or a truth value",
        ),
        ([{"type": "metric_grid", "data": {"metrics": [{}]}}], "components[0].data.metrics[0].label is missing"),
        ([{"type": "table", "data": {"headers": ["A"]}}], "components[0].data.rows is missing"),
        (
            [{"type": "table", "data": {"headers": ["A"], "rows": [...]}}],
            "components[0].data.rows[0] must be a list",
        ),
        ([table(["A"], [["a"], ["a", "b"]])], "components[0].data.rows[1] must have one cell for each header"),
        ([{"type": "chart"}], "components[0].data is missing"),
        ([questions({"id": "a", "label": "A"})], "components[0].data.questions[0].type is missing"),
        (
            [questions({"id": "a", "label": "A", "type": "radio"})],
            "components[0].data.questions[0].options is missing",
        ),
        (
            [questions(GOOD_QUESTION, GOOD_QUESTION)],
            "components[0].data.questions[1].id is that of an earlier question",
        ),
        ([{"type": "tabs"}], "components[0].children is missing"),
        ([tabs({"type": "tab", "children": []})], "components[0].children[0].data is missing"),
        ([tabs(tab("A"))], "components[0].children[0].children must not be empty"),
        (
            [tabs(tab("A", text("a"), buttons({})))],
            "components[0].children[0].children[1].data.buttons[0].label is missing",
        ),
    ],
)
def test_wrong_shapes_are_refused_with_their_place(components: Any, message: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        check_components(components)
    assert caught.value.message == message


def test_chart_with_too_few_values_is_refused() -> None:
    with pytest.raises(ValidationFailed, match=r"series\[1\].values must have one value for each label"):
        chart("line", ["Q1", "Q2"], series([1, 2]), series([1]))


def test_unknown_types_pass() -> None:
    unknown = {"type": "hologram", "anything": [1, {"goes": None}]}
    assert check_components([unknown]) == [unknown]
    assert not asks_for_answer([unknown])
    other_question = questions({"id": "a", "label": "A", "type": "slider", "from": 1})
    assert check_components([other_question]) == [other_question]


def test_nesting_ends_somewhere() -> None:
    component = text("deep")
    for _ in range(MAX_DEPTH):
        component = tabs(component)
    with pytest.raises(ValidationFailed, match=f"is nested deeper than {MAX_DEPTH} levels"):
        check_components([component])
    endless: dict[str, Any] = {"type": "tabs", "children": []}
    endless["children"].append(endless)
    with pytest.raises(ValidationFailed, match="nested deeper"):
        check_components([endless])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "data",
                    "children",
                    "buttons",
                    "label",
                    "action",
                    "rows",
                    "headers",
                    "questions",
                    "id",
                    "options",
                ]
            ),
            inner | st.sampled_from(["text", "button_group", "kv", "table", "chart", "qa", "tabs", "tab", "radio"]),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_whatever_is_given_is_accepted_or_refused(components: Any) -> None:
    try:
        checked = check_components(components)
    except ValidationFailed:
        return
    assert checked == list(components)
    assert asks_for_answer(checked) in (True, False)
