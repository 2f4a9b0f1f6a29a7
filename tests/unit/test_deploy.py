"""What is in `deploy/` and for Heroku: the same two processes everywhere, settings that exist, enough time to end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from receiver.settings import WebSettings, WorkerSettings
from receiver.web import server_options
from workers.worker import RELEASE_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "README.md")
SETTING = re.compile(r"\b(?:HILOOP|WORKER|WEB)_[A-Z_]+[A-Z]\b|\bREDIS_URL\b")
WEB, WORKER = "python -m receiver.web", "hiloop-receiver worker"
WITHOUT_KEY = "env -u HILOOP_API_KEY -u HILOOP_AGENT_KEYS "
KEYS = {"HILOOP_API_KEY", "HILOOP_AGENT_KEYS"}


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def document(name: str) -> Any:
    return yaml.safe_load(text(f"deploy/{name}"))


def kubernetes(name: str) -> dict[tuple[str, str], Any]:
    found = yaml.safe_load_all(text(f"deploy/kubernetes/{name}"))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def unit(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", text(f"deploy/systemd/{name}"), re.MULTILINE))


FLY = tomllib.loads(text("deploy/fly.toml"))
PROCFILE = dict(line.split(": ", 1) for line in text("Procfile").splitlines())
COMPOSE = document("compose.yaml")["services"]
RENDER = {one["name"]: one for one in document("render.yaml")["services"]}
KAMAL = document("kamal.yml")
PODS = {
    name: kubernetes("receiver.yaml")["Deployment", f"hiloop-{name}"]["spec"]["template"]["spec"]
    for name in ("web", "worker")
}
IMAGE_RUNS = " ".join(json.loads(re.findall(r"^CMD (.*)$", text("deploy/Dockerfile"), re.MULTILINE)[0]))
RAILWAY = {name: json.loads(text(f"deploy/railway/{name}.json"))["deploy"] for name in ("web", "worker")}

COMMANDS = {
    "Procfile": (PROCFILE["web"].removeprefix("exec "), PROCFILE["worker"].removeprefix("exec ")),
    "project": tuple(
        line.split(": ", 1)[1].removeprefix("exec ") for line in text("workers/project/Procfile").splitlines()[1:]
    ),
    "compose": (IMAGE_RUNS, " ".join(COMPOSE["worker"]["command"])),
    "render": (IMAGE_RUNS, RENDER["hiloop-worker"]["dockerCommand"]),
    "fly": (FLY["processes"]["web"], FLY["processes"]["worker"]),
    "railway": (RAILWAY["web"]["startCommand"], RAILWAY["worker"]["startCommand"]),
    "kamal": (IMAGE_RUNS, KAMAL["servers"]["worker"]["cmd"]),
    "kubernetes": tuple(" ".join(PODS[name]["containers"][0]["command"]) for name in ("web", "worker")),
    "systemd": tuple(
        unit(name)["ExecStart"].removeprefix("/srv/my-agent/.venv/bin/")
        for name in ("hiloop-web.service", "hiloop-worker@.service")
    ),
}


@pytest.mark.parametrize(("web", "worker"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_same_two_processes_everywhere(web: str, worker: str) -> None:
    assert (web.removeprefix(WITHOUT_KEY), worker) == (WEB, WORKER)


SHARED_SETTINGS = ("Procfile", "project", "fly")


def names(environment: Any) -> set[str]:
    return {one if isinstance(one, str) else one["key"] for one in environment}


def test_the_web_process_never_gets_the_agents_key() -> None:
    assert [COMMANDS[name][0].startswith(WITHOUT_KEY) for name in SHARED_SETTINGS] == [True] * len(SHARED_SETTINGS)
    apart = {
        "compose": names(COMPOSE["web"]["environment"]),
        "render": names(RENDER["hiloop-web"]["envVars"]),
        "kamal": names([*KAMAL["servers"]["web"]["env"]["secret"], *KAMAL["env"]["secret"], *KAMAL["env"]["clear"]]),
        "kubernetes": {one["secretRef"]["name"] for one in PODS["web"]["containers"][0]["envFrom"]},
        "systemd": {unit("hiloop-web.service")["EnvironmentFile"]},
    }
    for platform, given in apart.items():
        assert not given & {*KEYS, "hiloop-worker", "/etc/hiloop/worker.env"}, platform
    assert {*apart, *SHARED_SETTINGS, "railway"} == set(COMMANDS)


SECONDS_TO_END = {
    "compose web": COMPOSE["web"]["stop_grace_period"],
    "compose worker": COMPOSE["worker"]["stop_grace_period"],
    "render web": RENDER["hiloop-web"]["maxShutdownDelaySeconds"],
    "render worker": RENDER["hiloop-worker"]["maxShutdownDelaySeconds"],
    "fly": FLY["kill_timeout"],
    "railway web": RAILWAY["web"]["drainingSeconds"],
    "railway worker": RAILWAY["worker"]["drainingSeconds"],
    "kamal": KAMAL["drain_timeout"],
    "kubernetes web": PODS["web"]["terminationGracePeriodSeconds"]
    - PODS["web"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"],
    "kubernetes worker": PODS["worker"]["terminationGracePeriodSeconds"],
    "systemd web": unit("hiloop-web.service")["TimeoutStopSec"],
    "systemd worker": unit("hiloop-worker@.service")["TimeoutStopSec"],
}


@pytest.mark.parametrize("given", SECONDS_TO_END.values(), ids=SECONDS_TO_END.keys())
def test_there_is_time_to_end(given: str | int) -> None:
    needed = max(WorkerSettings().grace + RELEASE_SECONDS, server_options(WebSettings())["timeout_graceful_shutdown"])
    assert int(str(given).removesuffix("s")) >= needed + 3


@pytest.mark.parametrize("path", [*FILES, ROOT / "app.json", ROOT / "Procfile"], ids=lambda path: path.name)
def test_settings_and_paths_exist(path: Path) -> None:
    written = path.read_text("utf-8")
    known = set(re.findall(r"`([A-Z_]+)`", text("README.md")))
    assert set(SETTING.findall(written)) - known == set()
    asked = re.findall(r"(/(?:healthz|readyz|webhooks/hiloop))\b", text("receiver/app.py"))
    assert set(re.findall(r"(?<=[\s\":}])/[a-z]+z\b", written)) <= set(asked)


def test_app_json_leaves_nothing_required_out() -> None:
    app = json.loads(text("app.json"))
    given = {name: one.get("value") or "x" * 32 for name, one in app["env"].items() if one.get("required", True)}
    environment = {"WEB_CONCURRENCY": "2", **given, "REDIS_URL": "rediss://h", "HILOOP_API_KEY": "hlp_" + "0" * 64}
    assert WebSettings.from_environment(environment).processes == 1, "Heroku presets two: connections count"
    settings = WorkerSettings.from_environment(environment)
    assert settings.keeping.dead_bytes <= 5 * 1024**2, "the smallest plan has 25 MB"
    assert not settings.redis_verify_tls
    assert app["formation"].keys() == PROCFILE.keys() - {"release"}
    of_project = json.loads(text("workers/project/app.json.tmpl"))
    of_project["env"]["HILOOP_HANDLERS"] = app["env"]["HILOOP_HANDLERS"]
    own = ("name", "description", "keywords")
    assert {k: v for k, v in of_project.items() if k not in own} == {k: v for k, v in app.items() if k not in own}


def test_one_version_of_python() -> None:
    version = text(".python-version").strip()
    assert text("workers/project/python-version").strip() == version
    assert set(re.findall(r"FROM python:([0-9.]+)", text("deploy/Dockerfile"))) == {version}
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def requirements(found: list[Requirement]) -> set[tuple[str, frozenset[str], str]]:
    return {(canonicalize_name(one.name), frozenset(one.extras), str(one.specifier)) for one in found}


def test_the_lock_file_is_that_of_pyproject_and_names_public_hosts_only() -> None:
    """`uv lock` renews it; this needs no network to notice that it was forgotten."""
    lock = tomllib.loads(text("uv.lock"))
    (ours,) = [one for one in lock["package"] if one["name"] == "hiloop-receiver"]
    locked = [
        Requirement(f"{one['name']}[{','.join(one.get('extras', ()))}]{one.get('specifier', '')}")
        for one in ours["metadata"]["requires-dist"]
    ]
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    # Of what an extra of ours takes from another one, uv writes what that has.
    asked = [Requirement(line) for line in wanted if not line.startswith("hiloop-receiver[")]
    assert requirements(locked) == requirements(asked), "run `uv lock`"
    hosts = set(re.findall(r"https?://([^/\"]+)", text("uv.lock")))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    for package in lock["package"]:
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]:
            assert file["hash"].startswith("sha256:")


def test_every_file_and_its_three_commands_are_in_the_readme() -> None:
    readme = text("deploy/README.md")
    for path in FILES:
        assert f"`{path.relative_to(DEPLOY)}`" in readme, path
    blocks = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    assert [len(re.findall(r"^\$ ", block, re.MULTILINE)) for block in blocks] == [3] * 9
    assert "(deploy/README.md)" in text("README.md")


def tool(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


def passes(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) in ((0, ""), (0, "ok -- validation done\n"))


def test_dockerfile_is_sound() -> None:
    passes(tool("hadolint"), "--failure-threshold", "info", str(DEPLOY / "Dockerfile"))


def test_compose_file_fits_its_schema() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    passes(sys.executable, "-m", "check_jsonschema", *schema, str(DEPLOY / "compose.yaml"))


def test_kubernetes_manifests_fit_their_schemas() -> None:
    for one in kubernetes("receiver.yaml").values():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ["scale-by-length.yaml", "scale-by-age.yaml"])
def test_keda_scales_the_workers(name: str) -> None:
    scaled = kubernetes(name)["ScaledObject", "hiloop-worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "hiloop-worker"
    lists = [one["metadata"]["listName"] for one in scaled["triggers"] if one["type"] == "redis"]
    layout = WorkerSettings().layout
    assert lists in ([], [layout.rq(f"queue:{queue}") for queue in layout.queues])


@pytest.mark.parametrize("name", ["hiloop-web.service", "hiloop-worker@.service"])
def test_units_are_sound(name: str, tmp_path: Path) -> None:
    # systemd looks whether the program is there.
    anywhere = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", text(f"deploy/systemd/{name}"))
    (tmp_path / name).write_text(anywhere)
    passes(tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / name))
