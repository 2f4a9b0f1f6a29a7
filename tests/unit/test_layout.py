"""Names in Redis: job ids are one to one with event ids, and every key the scripts use is documented."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rq.job import JobStatus, validate_job_id
from rq.serializers import JSONSerializer

from receiver import layout as module
from receiver.events import PRIORITIES
from receiver.layout import JOB_DATA, JOB_FIELDS, JOB_FUNCTION, Layout, event_id, job_id
from receiver.scripts import load_script

NO_SCRIPT = {"C", "D", "E", "L", "N", "O", "U"}  # written without one: by tasks, commands and the dashboard
SCRIPTS = [
    ("receiver", "accept"),
    ("receiver", "read"),
    ("receiver", "count"),
    *(("workers", name) for name in ("advance", "heartbeat", "replay", "discard", "tally")),
]
SHARED = [("receiver", "common"), ("workers", "kept")]
event_ids = st.text("abcxyzABZ0189_.:-", min_size=1, max_size=128) | st.from_regex(r"\Ax--[a-z.:-]{0,20}\Z")

TABLE = [
    ("evt_01J", "evt_01J"),
    ("sha256_00ff", "sha256_00ff"),
    ("a-b--c", "a-b--c"),
    ("x-", "x-"),
    ("evt.1", "x--evt-d1"),
    ("evt:1", "x--evt-c1"),
    ("a-.b", "x--a---db"),
    ("x--a", "x--x----a"),
    (":", "x---c"),
]


@pytest.mark.parametrize(("event", "job"), TABLE)
def test_job_id(event: str, job: str) -> None:
    assert job_id(event) == job
    assert event_id(job) == event


@given(event_ids)
@example("x--")
@example("x---d")
@example("-d.-c:")
def test_every_event_id_has_a_job_id_that_rq_accepts_and_an_inverse(event: str) -> None:
    job = job_id(event)
    validate_job_id(job)
    assert event_id(job) == event


@given(event_ids, event_ids)
def test_job_ids_are_one_to_one(one: str, other: str) -> None:
    assert (job_id(one) == job_id(other)) == (one == other)


@given(st.text(max_size=60))
def test_any_job_id_can_be_read(job: str) -> None:
    event_id(job)


def test_a_long_job_id_is_read_in_no_time() -> None:
    assert event_id("x--" + "-d" * 1_000_000) == "." * 1_000_000


def test_queues_are_in_order_of_priority() -> None:
    layout = Layout("q")
    assert layout.queues == ("q-critical", "q-high", "q", "q-low")
    assert [layout.queue_for(priority) for priority in PRIORITIES] == list(layout.queues)


def test_the_job_data_is_what_rq_reads() -> None:
    assert JSONSerializer.loads(JOB_DATA.encode()) == [JOB_FUNCTION, None, [], {}]


def lua_constants() -> dict[str, str]:
    """The names that scripts get, and the keys or beginnings of keys they stand for."""
    pairs = re.findall(r'^local (\w+) = "((?:rq|hiloop):.*)"$', Layout("Q").lua_names(), re.MULTILINE)
    return dict(pairs)


def documented_keys() -> set[str]:
    """The keys in the module's table that scripts write, without what differs from event to event."""
    lines = re.findall(r"^    (?:rq|hiloop):.*", module.__doc__ or "", re.MULTILINE)
    names = [line.split()[0] for line in lines if line.split()[2] not in NO_SCRIPT]
    return {re.split(r"[<\[]", name.replace("hiloop:<queue>:", "hiloop:Q:"))[0] for name in names}


def test_every_key_of_the_scripts_is_documented_and_no_other() -> None:
    assert set(lua_constants().values()) == documented_keys()
    assert len(documented_keys()) >= 20


def test_every_documented_key_is_used_by_a_script() -> None:
    used = " ".join(load_script(Layout("Q"), *script).split("local PRIORITY_QUEUES", 1)[1] for script in SCRIPTS)
    unused = [name for name in lua_constants() if not re.search(rf"\b{name}\b", used)]
    assert unused == []


@pytest.mark.parametrize("path", [*SHARED, *SCRIPTS])
def test_scripts_spell_no_key(path: tuple[str, str]) -> None:
    source = (files(path[0]) / "lua" / f"{path[1]}.lua").read_text("utf-8")
    code = re.sub(r"--.*", "", source)
    assert re.findall(r"['\"](?:rq|hiloop):", code) == []


def test_only_the_layout_spells_our_keys() -> None:
    root = Path(module.__file__).parents[1]
    sources = [*root.glob("receiver/**/*.py"), *root.glob("workers/**/*.py")]
    assert len(sources) > 20
    spelled = [
        str(path.relative_to(root))
        for path in sources
        if path.name != "layout.py" and re.search(r"""['"](rq:|hiloop:)""", path.read_text("utf-8"))
    ]
    assert spelled == []


def test_every_field_we_add_to_a_job_is_documented() -> None:
    paths = [files(package) / "lua" / f"{name}.lua" for package, name in [*SHARED, *SCRIPTS]]
    sources = " ".join(path.read_text("utf-8") for path in paths)
    rq_fields = {"data", "description", "origin", "created_at", "enqueued_at", "status", "started_at", "ended_at"} | {
        "last_heartbeat",
        "worker_name",
        "exc_info",
    }
    written = set()
    for call in re.findall(r"'(?:HSET|HINCRBY)', JOB \.\. \w+,(.*?)\)\n", sources, re.DOTALL):
        written |= set(re.findall(r"'([a-z_]+)',", call))
    written |= set(re.findall(r"count_up\(job, '([a-z_]+)'\)", sources))
    assert written - rq_fields - {status.value for status in JobStatus} == JOB_FIELDS.keys()


@pytest.mark.parametrize("queue", ["hiloop", "other-queue"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[1])
def test_a_script_starts_with_its_flags_and_knows_its_queue(script: tuple[str, str], queue: str) -> None:
    source = load_script(Layout(queue), *script)
    assert source.startswith("#!lua")
    assert json.dumps(f"hiloop:{queue}:lane:") in source


def test_only_accepting_is_refused_when_memory_is_full() -> None:
    flags = {name: load_script(Layout(), package, name).splitlines()[0] for package, name in SCRIPTS}
    allowed = dict.fromkeys(("count", "advance", "heartbeat", "replay", "discard", "tally"), "#!lua flags=allow-oom")
    assert flags == {"accept": "#!lua", "read": "#!lua flags=no-writes", **allowed}
