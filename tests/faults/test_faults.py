"""Nothing acknowledged is lost, and no session is out of order, whatever is killed: the short run.

Other tests keep the machine busy meanwhile, so there is no limit on duplicates here, but each has its kill.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.run_faults import Plan, run


@pytest.mark.timeout(180)
def test_nothing_is_lost_when_everything_fails(tmp_path: Path) -> None:
    report = run(Plan(seconds=10, events=750, seed=7, rate=75, fault_every=0.8), tmp_path)
    assert report.verdict.acked >= 750
    assert report.kills > 0
    assert report.problems == []


@pytest.mark.timeout(180)
def test_many_web_processes_and_workers_at_once(tmp_path: Path) -> None:
    # A worker that a busy machine keeps waiting for a second must not lose its lease: that would be a duplicate, too.
    plan = Plan(
        seconds=5,
        events=250,
        seed=11,
        rate=120,
        sessions=30,
        webs=3,
        workers=4,
        faults=("kill_worker", "kill_web"),
        settings={"HILOOP_LEASE": "5s"},
    )
    report = run(plan, tmp_path)
    assert report.verdict.acked >= 250
    assert report.kills > 0
    assert report.problems == []


@pytest.mark.timeout(180)
def test_poison_ends_as_dead_letters_and_takes_nobody_along(tmp_path: Path) -> None:
    report = run(Plan(seconds=5, events=450, seed=3, rate=75, poison=0.01, faults=("reset_connections",)), tmp_path)
    assert report.verdict.acked >= 450
    assert report.poison
    assert report.problems == []
