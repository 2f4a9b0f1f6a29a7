"""SECURITY.md names tests: each of them exists."""

from __future__ import annotations

import re

import pytest

from tests.support.processes import ROOT

NAMED = sorted(set(re.findall(r"tests/[\w/.]+(?:::\w+)?", (ROOT / "SECURITY.md").read_text("utf-8"))))


@pytest.mark.parametrize("name", NAMED)
def test_it_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert (ROOT / path).exists()
    if function:
        assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_many_are_named() -> None:
    assert len(NAMED) > 25


def test_every_file_of_attacks_is_named() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "integration" / "attacks").glob("test_*.py")}
    assert files <= {name.partition("::")[0] for name in NAMED}
