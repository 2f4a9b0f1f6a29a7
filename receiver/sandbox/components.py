"""What a message offers to answer: its buttons and the questions of its forms, wherever they stand. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from receiver.sandbox.problems import WrongAnswer


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a form. ``options`` are empty where the human writes freely."""

    id: str
    kind: str
    options: tuple[str, ...]


def walk(components: Any) -> Iterator[Mapping[str, Any]]:
    """All components, with those inside of tabs and the like; what is no component is passed over."""
    for component in components if isinstance(components, list) else ():
        if isinstance(component, dict):
            yield component
            yield from walk(component.get("children"))


def buttons(components: Any) -> list[str]:
    """The actions of all buttons, in order."""
    return [
        button["action"]
        for group in _data(components, "button_group", "buttons")
        for button in group
        if isinstance(button, dict) and isinstance(button.get("action"), str)
    ]


def questions(components: Any) -> list[Question]:
    """The questions of all forms, in order."""
    return [
        Question(question["id"], str(question.get("type")), _options(question.get("options")))
        for form in _data(components, "qa", "questions")
        for question in form
        if isinstance(question, dict) and isinstance(question.get("id"), str)
    ]


def texts(value: Any) -> Iterator[str]:
    """All strings inside of ``value``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from texts(child)


def check_action(components: Any, action: str) -> None:
    """Raise `WrongAnswer` if there are buttons, but none for ``action``."""
    offered = buttons(components)
    if offered and action not in offered:
        raise WrongAnswer(f"no button of the message answers {action!r}; there are: {', '.join(offered)}")
    if not offered and questions(components):
        raise WrongAnswer("the message asks for a form, not for a button")


def filled_in(components: Any, answers: Mapping[str, Any]) -> dict[str, Any]:
    """``answers`` as a form sends them: to every question, a list to a checkbox one. Raises `WrongAnswer`.

    A question that is not answered gets what the page sends for it: None, an empty list, an empty text.
    """
    asked = {question.id: question for question in questions(components)}
    if not asked:
        raise WrongAnswer("the message has no form")
    for name in answers:
        if name not in asked:
            raise WrongAnswer(f"the form has no question {name!r}; there are: {', '.join(asked)}")
    empty: dict[str, Any] = {"radio": None, "checkbox": []}
    return {
        name: _checked(question, answers[name]) if name in answers else empty.get(question.kind, "")
        for name, question in asked.items()
    }


def plausible(components: Any) -> dict[str, Any]:
    """Answers that somebody could give: the first option of each question, or a few words."""
    return filled_in(
        components,
        {each.id: each.options[0] if each.options else "All good." for each in questions(components)},
    )


def _checked(question: Question, value: Any) -> Any:
    several = question.kind == "checkbox"
    given: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not several and len(given) != 1:
        raise WrongAnswer(f"the question {question.id!r} takes one answer")
    for each in given:
        if question.options and each not in question.options:
            raise WrongAnswer(f"{question.id!r} does not offer {each!r}, but: {', '.join(question.options)}")
    return list(given) if several else given[0]


def _data(components: Any, kind: str, name: str) -> Iterator[list[Any]]:
    for component in walk(components):
        data = component.get("data")
        if component.get("type") == kind and isinstance(data, dict) and isinstance(data.get(name), list):
            yield data[name]


def _options(options: Any) -> tuple[str, ...]:
    if not isinstance(options, list):
        return ()
    # An option is a string or, where label and value differ, an object.
    values = (each.get("value", each.get("label")) if isinstance(each, dict) else each for each in options)
    return tuple(each for each in values if isinstance(each, str))
