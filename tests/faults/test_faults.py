"""Nothing acknowledged is lost, and no session is out of order, whatever is killed: the short run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.run_faults import Plan, run


@pytest.mark.timeout(180)
def test_nothing_is_lost_when_everything_fails(tmp_path: Path) -> None:
    report = run(Plan(seconds=15, events=1000, seed=7, rate=75, fault_every=0.8), tmp_path)
    assert report.verdict.acked >= 1000
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
    verdict = report.verdict
    assert verdict.acked >= 250
    assert report.kills > 0
    # On a busy machine a worker may die between the effects and the closings of several events: no limit on duplicates.
    assert (verdict.lost, verdict.unexpected, verdict.inversions, verdict.unexplained) == ([], [], [], [])
    assert report.dead == {}


@pytest.mark.timeout(180)
def test_poison_ends_as_dead_letters_and_takes_nobody_along(tmp_path: Path) -> None:
    report = run(Plan(seconds=5, events=600, seed=3, rate=75, poison=0.01, faults=("reset_connections",)), tmp_path)
    assert report.verdict.acked >= 600
    assert report.poison
    assert report.problems == []
