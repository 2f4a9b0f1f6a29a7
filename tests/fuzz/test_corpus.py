"""The inputs of the fuzzers' corpus, without a fuzzer: among them whatever has failed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_input(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus_that_is_small() -> None:
    assert {path.parent.name for path in INPUTS} == TARGETS.keys()
    assert sum(path.stat().st_size for path in INPUTS) < 200_000
