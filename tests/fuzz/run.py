"""Fuzz one parser, guided by coverage, for as long as one likes.

    pip install -e '.[test,fuzz]'
    python -m tests.fuzz.run events --seconds 3600

Starts from the inputs in `corpus/`; what it finds beside them goes to `.fuzz/`, an input that fails to
`.fuzz/<target>/crash-…`. Whatever fails becomes a test and a line of the corpus.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["receiver", "workers"]):
    from tests.fuzz.targets import TARGETS

CORPUS: Final = Path(__file__).parent / "corpus"
FOUND: Final = Path(".fuzz")


def main() -> None:
    """The command line; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=3600)
    options = parser.parse_args()
    found = FOUND / options.target
    found.mkdir(parents=True, exist_ok=True)
    limits = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", f"-max_total_time={options.seconds}"]
    places = [f"-artifact_prefix={found}/", str(found), str(CORPUS / options.target)]
    atheris.Setup([sys.argv[0], "-print_final_stats=1", *limits, *places], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
