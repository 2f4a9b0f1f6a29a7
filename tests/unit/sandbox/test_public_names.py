"""What users may rely on: the names of the package, and its tree of errors."""

from __future__ import annotations

import inspect

import receiver.sandbox
from receiver.errors import ReceiverError
from receiver.sandbox import problems


def test_all_public_names_are_there() -> None:
    assert sorted(receiver.sandbox.__all__) == receiver.sandbox.__all__
    for name in receiver.sandbox.__all__:
        assert inspect.getdoc(getattr(receiver.sandbox, name))


def test_the_tree_of_errors_is_complete() -> None:
    defined = {
        name
        for name, value in vars(problems).items()
        if inspect.isclass(value) and issubclass(value, ReceiverError) and value.__module__ == problems.__name__
    }
    drawn = {word for line in (problems.__doc__ or "").splitlines() for word in line.split() if word in defined}
    assert drawn == defined
