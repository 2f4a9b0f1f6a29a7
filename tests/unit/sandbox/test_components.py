"""What a message offers to answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.sandbox.components import buttons, check_action, filled_in, plausible, questions, texts
from receiver.sandbox.problems import WrongAnswer

BUTTONS = {"type": "button_group", "data": {"buttons": [{"action": "yes"}, {"label": "no action"}, {"action": "no"}]}}
FORM = {
    "type": "qa",
    "data": {
        "questions": [
            {"id": "one", "type": "radio", "options": ["a", {"label": "B", "value": "b"}, {"label": "c"}]},
            {"id": "many", "type": "checkbox", "options": ["x", "y"]},
            {"id": "text", "type": "textarea"},
            {"label": "no id"},
        ]
    },
}


def nested(*components: Any) -> list[Any]:
    return [{"type": "tabs", "children": [{"type": "tab", "children": list(components)}, {"type": "tab"}]}]


@pytest.mark.parametrize("components", [[BUTTONS, FORM], nested(BUTTONS, FORM), [*nested(FORM), BUTTONS]])
def test_buttons_and_questions_are_found_wherever_they_stand(components: list[Any]) -> None:
    assert buttons(components) == ["yes", "no"]
    assert [each.id for each in questions(components)] == ["one", "many", "text"]
    assert questions(components)[0].options == ("a", "b", "c")


def test_a_form_is_complete_and_typed() -> None:
    assert filled_in([FORM], {}) == {"one": None, "many": [], "text": ""}
    assert filled_in([FORM], {"one": ["b"], "many": "x"}) == {"one": "b", "many": ["x"], "text": ""}
    assert plausible(nested(FORM)) == {"one": "a", "many": ["x"], "text": "All good."}


@pytest.mark.parametrize(
    "answers", [{"three": "a"}, {"one": "z"}, {"one": ["a", "b"]}, {"many": ["x", "z"]}, {"one": []}]
)
def test_a_form_takes_what_it_offers(answers: dict[str, Any]) -> None:
    with pytest.raises(WrongAnswer):
        filled_in([FORM], answers)


def test_actions() -> None:
    check_action([BUTTONS], "yes")
    check_action([BUTTONS, FORM], "no")
    check_action(None, "anything")
    for components in ([BUTTONS], [FORM]):
        with pytest.raises(WrongAnswer):
            check_action(components, "maybe")


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "data", "children", "buttons", "questions", "id", "action", "options"]),
            inner | st.sampled_from(["qa", "button_group"]),
            max_size=4,
        )
    ),
)


@given(values)
def test_strange_components_offer_nothing_and_break_nothing(components: Any) -> None:
    assert all(isinstance(each, str) for each in buttons(components))
    assert all(isinstance(each.id, str) for each in questions(components))
    assert all(isinstance(each, str) for each in texts(components))
