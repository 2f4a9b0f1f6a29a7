"""Redis fails over under load: nothing that a replica has confirmed is lost, and everybody finds the new primary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.failover_stage import FailoverStage
from tests.faults.run_faults import Plan, run


@pytest.mark.timeout(180)
def test_the_primary_behind_sentinels_is_killed_again_and_again(tmp_path: Path) -> None:
    plan = Plan(
        seconds=4, events=150, seed=7, rate=75, webs=2, faults=("fail_over",), settings={"HILOOP_DURABILITY": "replica"}
    )
    report = run(plan, tmp_path, FailoverStage)
    verdict = report.verdict
    assert report.faults["fail_over"] >= 1
    assert verdict.acked >= 150
    # A claim or a closing may be lost with the primary, and its event runs again: those are duplicates.
    assert (verdict.lost, verdict.unexpected, verdict.inversions) == ([], [], [])
    assert report.dead == {}
    assert report.drained_after < 20
