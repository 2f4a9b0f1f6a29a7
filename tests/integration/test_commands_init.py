"""The command `init` as a process: what it writes, and what it leaves alone. `test_package` runs the project."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from receiver import __version__
from tests.support.commands import Ended, run
from tests.support.processes import ROOT

WRITTEN = {
    "handlers.py", "tests/conftest.py", "tests/test_handlers.py", "pyproject.toml", "Procfile", "app.json", "README.md",
    ".python-version", ".gitignore",
}  # fmt: skip


def init(*arguments: str, path: Path = ROOT) -> Ended:
    return run("init", *arguments, env={"PYTHONPATH": f"{path}:{ROOT}"})


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_a_project_and_says_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "project"
    ended = init("my-agent", "--dir", str(folder))
    assert (ended.code, files(folder)) == (0, WRITTEN)
    assert f"cd {folder}" in ended.out
    assert "pytest" in ended.out
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["dependencies"]) == ("my-agent", [f"hiloop-receiver>={__version__},<0.2"])
    assert json.loads((folder / "app.json").read_text())["env"]["HILOOP_HANDLERS"]["value"] == "handlers"
    assert (folder / "Procfile").read_text() == (ROOT / "Procfile").read_text()
    for path in WRITTEN:
        assert "$name" not in (folder / path).read_text()
    assert "$ heroku create my-agent" in (folder / "README.md").read_text()


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    refused = init("my-agent", "--dir", str(tmp_path))
    assert (refused.code, refused.out, files(tmp_path)) == (1, "", {"README.md", "notes.txt"})
    assert "has README.md already; nothing was written" in refused.err
    assert "--force" in refused.err
    assert init("my-agent", "--dir", str(tmp_path), "--force").code == 0
    assert files(tmp_path) == WRITTEN | {"notes.txt"}
    assert (tmp_path / "README.md").read_text().startswith("# my-agent")
    assert (tmp_path / "notes.txt").read_text() == "mine too"


@pytest.mark.parametrize(
    "name", ["My-Agent", "my_agent", "1st", "a--b", "../x", "-x-", "x" * 31, "", "hiloop-receiver"]
)
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    ended = init("--dir", str(tmp_path), "--", name)
    assert (ended.code, files(tmp_path)) == (2, set())
    assert "NAME" in ended.err


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = init("my-agent", "--dir", str(tmp_path / "file" / "below"))
    assert ended.code == 1
    assert "cannot write" in ended.err
    assert "--dir" in ended.err


def install_from(folder: Path, origin: Mapping[str, object]) -> Path:
    """A folder of packages in which this one came from ``origin``."""
    metadata = folder / "packages" / "hiloop_receiver-9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hiloop-receiver\nVersion: 9\n")
    (metadata / "direct_url.json").write_text(json.dumps(origin))
    return metadata.parent


def test_what_came_out_of_a_repository_is_asked_for_there(tmp_path: Path) -> None:
    vcs = {"vcs": "git", "commit_id": "abc123", "requested_revision": "main"}
    packages = install_from(tmp_path, {"url": "https://example.com/r.git", "vcs_info": vcs})
    folder = tmp_path / "project"
    ended = init("my-agent", "--dir", str(folder), path=packages)
    assert (ended.code, "Note:" in ended.out) == (0, False)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["hiloop-receiver @ git+https://example.com/r.git@abc123"]


def test_what_came_out_of_a_folder_cannot_be_deployed(tmp_path: Path) -> None:
    packages = install_from(tmp_path, {"url": "file:///some/where", "dir_info": {}})
    folder = tmp_path / "project"
    ended = init("my-agent", "--dir", str(folder), path=packages)
    assert ended.code == 0
    assert "which other machines do not have" in ended.out
    assert "some/where" not in (folder / "pyproject.toml").read_text()
