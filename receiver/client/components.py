"""What a message can show and ask: typed builders, and the check of every component before it is sent. Pure.

A builder returns the very dictionary that one could write by hand. The shapes of the types in `_SHAPES` are
those of Hiloop's SDK page; components of other types pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from receiver.errors import ValidationFailed

Component = dict[str, Any]
Button = dict[str, Any]
Question = dict[str, Any]
Scalar = str | int | float | bool

# Tabs in tabs may go this deep; nobody finds anything below.
MAX_DEPTH: Final = 8
_ANSWERABLE: Final = ("button_group", "qa")
_QUESTIONS_WITH_OPTIONS: Final = ("radio", "checkbox")


def text(content: str) -> Component:
    """Text to read, in Markdown."""
    return _component("text", content=content)


def button(label: str, action: str, variant: Literal["primary", "danger", "secondary"] | None = None) -> Button:
    """A button of a `button_group`; ``action`` is the answer that it gives."""
    return _given(label=label, action=action, variant=variant)


def button_group(*buttons: Button) -> Component:
    """Buttons of which the human presses one; its `action` is the response."""
    return _component("button_group", buttons=list(buttons))


def kv(entries: Mapping[str, Scalar]) -> Component:
    """Names and their values."""
    return _component("kv", entries=[{"key": key, "value": value} for key, value in entries.items()])


def metric(label: str, value: Scalar, change: str | None = None) -> dict[str, Any]:
    """A number of a `metric_grid`, with how it has changed (`"+14%"`)."""
    return _given(label=label, value=value, change=change)


def metric_grid(*metrics: Mapping[str, Any]) -> Component:
    """Numbers at a glance, each made by `metric`."""
    return _component("metric_grid", metrics=list(metrics))


def table(headers: Sequence[str], rows: Sequence[Sequence[Scalar | None]]) -> Component:
    """A table; every row has one cell for each header."""
    return _component("table", headers=list(headers), rows=[list(row) for row in rows])


def series(values: Sequence[float | None], name: str | None = None) -> dict[str, Any]:
    """The numbers of one line, one set of bars or one pie of a `chart`; None leaves a gap."""
    return _given(name=name, values=list(values))


def chart(
    kind: Literal["bar", "line", "area", "pie"],
    labels: Sequence[str],
    *lines: Mapping[str, Any],
    title: str | None = None,
) -> Component:
    """A drawing of ``lines``, each made by `series` with one value for each of ``labels``.

    Hiloop does not publish the shape of a chart; this one is profile v1. Raises `ValidationFailed` where the
    number of values is not that of the labels.
    """
    for index, line in enumerate(lines):
        if len(line["values"]) != len(labels):
            raise ValidationFailed(f"series[{index}].values must have one value for each label")
    data = _given(type=kind, labels=list(labels), series=list(lines), title=title)
    return {"type": "chart", "data": data}


def radio(question_id: str, label: str, options: Sequence[str], *, required: bool = False) -> Question:
    """A question of a `qa` with one answer out of ``options``."""
    return _given(id=question_id, label=label, type="radio", options=list(options), required=required or None)


def checkbox(question_id: str, label: str, options: Sequence[str], *, required: bool = False) -> Question:
    """A question of a `qa` with any number of answers out of ``options``."""
    return _given(id=question_id, label=label, type="checkbox", options=list(options), required=required or None)


def textarea(question_id: str, label: str, *, required: bool = False) -> Question:
    """A question of a `qa` that is answered in the human's own words."""
    return _given(id=question_id, label=label, type="textarea", required=required or None)


def qa(*questions: Question) -> Component:
    """A form; the response is an object of question id → answer."""
    return _component("qa", questions=list(questions))


def tab(label: str, *children: Mapping[str, Any]) -> Component:
    """One tab of `tabs`, with the components it shows."""
    return {"type": "tab", "data": {"label": label}, "children": list(children)}


def tabs(*children: Mapping[str, Any]) -> Component:
    """Components side by side of which one is seen at a time, each made by `tab`."""
    return {"type": "tabs", "children": list(children)}


def check_components(components: Any) -> list[Component]:
    """Return ``components`` as a list of dictionaries.

    Raises `ValidationFailed` whose message points at the first wrong place, such as
    `components[1].data.buttons[0].action is missing`, and quotes no value.
    """
    if not isinstance(components, Sequence) or isinstance(components, str | bytes):
        raise ValidationFailed("components must be a list")
    _children(components, "components", 1)
    return [dict(component) for component in components]


def asks_for_answer(components: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of the (checked) ``components``, or one inside it, can be answered."""
    return any(
        component["type"] in _ANSWERABLE or (component["type"] in _PARENTS and asks_for_answer(component["children"]))
        for component in components
    )


def _component(type_: str, **data: Any) -> Component:
    return {"type": type_, "data": data}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# The check of a value gets the value and its place, and raises if the value is wrong.
_Check = Callable[[Any, str], None]


def _text(value: Any, place: str) -> None:
    if not isinstance(value, str):
        raise ValidationFailed(f"{place} must be a string")


def _scalar(value: Any, place: str) -> None:
    if not isinstance(value, Scalar):
        raise ValidationFailed(f"{place} must be a string, a number or a truth value")


def _each(check: _Check) -> _Check:
    def check_list(value: Any, place: str) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise ValidationFailed(f"{place} must be a list")
        if not value:
            raise ValidationFailed(f"{place} must not be empty")
        for index, item in enumerate(value):
            check(item, f"{place}[{index}]")

    return check_list


def _object(required: Mapping[str, _Check], optional: Mapping[str, _Check] | None = None) -> _Check:
    def check_object(value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise ValidationFailed(f"{place} must be an object")
        for name, check in required.items():
            if name not in value:
                raise ValidationFailed(f"{place}.{name} is missing")
            check(value[name], f"{place}.{name}")
        for name, check in (optional or {}).items():
            if value.get(name) is not None:
                check(value[name], f"{place}.{name}")

    return check_object


def _table(value: Any, place: str) -> None:
    _object({"headers": _each(_text), "rows": _rows})(value, place)
    for index, row in enumerate(value["rows"]):
        if len(row) != len(value["headers"]):
            raise ValidationFailed(f"{place}.rows[{index}] must have one cell for each header")


def _rows(value: Any, place: str) -> None:
    # A table without rows is a result too, unlike a button group without buttons.
    if not isinstance(value, Sequence) or len(value):
        _each(_each(_cell))(value, place)


def _cell(value: Any, place: str) -> None:
    if value is not None:
        _scalar(value, place)


def _questions(value: Any, place: str) -> None:
    _each(_question)(value, place)
    ids = [question["id"] for question in value]
    for index, question_id in enumerate(ids):
        if question_id in ids[:index]:
            raise ValidationFailed(f"{place}[{index}].id is that of an earlier question")


def _question(value: Any, place: str) -> None:
    _object({"id": _text, "label": _text, "type": _text})(value, place)
    if value["type"] in _QUESTIONS_WITH_OPTIONS:
        _object({"options": _each(_text)})(value, place)


_BUTTON: Final = _object({"label": _text, "action": _text}, {"variant": _text})
_ENTRY: Final = _object({"key": _text, "value": _scalar})
_METRIC: Final = _object({"label": _text, "value": _scalar}, {"change": _scalar})

# What `data` must be, by type of component. The shape of a chart is not published, so any object passes
# there.
_SHAPES: Final[Mapping[str, _Check]] = {
    "text": _object({"content": _text}),
    "button_group": _object({"buttons": _each(_BUTTON)}),
    "kv": _object({"entries": _each(_ENTRY)}),
    "metric_grid": _object({"metrics": _each(_METRIC)}),
    "table": _table,
    "chart": _object({}),
    "qa": _object({"questions": _questions}),
    "tab": _object({"label": _text}),
}
_PARENTS: Final = ("tabs", "tab")


def _children(components: Any, place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValidationFailed(f"{place} is nested deeper than {MAX_DEPTH} levels")
    _each(lambda component, at: _check_component(component, at, depth))(components, place)


def _check_component(component: Any, place: str, depth: int) -> None:
    _object({"type": _text})(component, place)
    kind = component["type"]
    if kind in _SHAPES:
        _object({"data": _SHAPES[kind]})(component, place)
    if kind in _PARENTS:
        _object({"children": lambda value, at: _children(value, at, depth + 1)})(component, place)
