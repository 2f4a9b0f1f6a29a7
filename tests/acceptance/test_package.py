"""The package as it is published: built, complete, installed from the wheel; and the project that `init` writes."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.installed import Installed
from tests.support.processes import ROOT

NAME = "my-agent"


def shipped() -> set[str]:
    """What the packages hold, but for what Python makes."""
    return {
        str(path.relative_to(ROOT))
        for package in ("receiver", "workers")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_and_sdist_are_complete(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert in_wheel == shipped()
    suffixes = {Path(name).suffix for name in in_wheel}
    assert suffixes >= {".py", ".lua", ".html", ".js", ".css", ".tmpl"}
    with tarfile.open(installed.sdist) as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames()}
    beside = {"pyproject.toml", "README.md", "LICENSE", "Procfile", "app.json", "uv.lock", "deploy/Dockerfile"}
    assert in_sdist >= shipped() | beside


def test_what_is_installed_works(installed: Installed, tmp_path: Path) -> None:
    where = installed.run("python", "-c", "import receiver, workers; print(receiver.__file__)", folder=tmp_path)
    assert where.stdout.startswith(str(installed.folder)), where.stderr
    demo = installed.run("hiloop-receiver", "demo", "--once", folder=tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "✓ the human's answer was handled" in demo.stdout


@pytest.fixture
def project(installed: Installed, tmp_path: Path) -> Path:
    """What `init` writes."""
    made = installed.run("hiloop-receiver", "init", NAME, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"cd {NAME}" in made.stdout
    return tmp_path / NAME


def test_a_new_project_installs_and_passes_its_tests(installed: Installed, project: Path) -> None:
    installed.install("-e", str(project))
    ended = installed.run("python", "-m", "pytest", "-p", "no:cacheprovider", folder=project)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout
    (project / "handlers.py").write_text("import no_such_module\n")
    ended = installed.run("python", "-m", "pytest", "-x", "-p", "no:cacheprovider", folder=project)
    assert ended.returncode == 1
    assert "there is no module no_such_module imported by handlers" in ended.stdout
