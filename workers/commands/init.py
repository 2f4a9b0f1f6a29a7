"""The command `init`: a project of the user's own, which runs and passes its tests at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

import click

from receiver import __version__
from receiver.exits import FAILED, Failure

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_LONGEST_NAME: Final = 30  # Heroku's limit for the name of an app
_PACKAGE: Final = "hiloop-receiver"
# Where it goes in the project → the file in `workers.project`; what ends in .tmpl has placeholders.
_FILES: Final = {
    "handlers.py": "handlers.py",
    "tests/conftest.py": "conftest.py.tmpl",
    "tests/test_handlers.py": "test_handlers.py.tmpl",
    "pyproject.toml": "pyproject.toml.tmpl",
    "Procfile": "Procfile",
    "app.json": "app.json.tmpl",
    "README.md": "README.md.tmpl",
    ".python-version": "python-version",
    ".gitignore": "gitignore",
}


@click.command(
    epilog="""\b
Examples:
  hiloop-receiver init my-agent
  hiloop-receiver init my-agent --dir ."""
)
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to write it.  [default: ./NAME]")
@click.option("--force", is_flag=True, help="Replace files that are there already; others are left alone.")
def init(name: str, folder: Path | None, *, force: bool) -> None:
    """Write a project of your own: handlers, tests, and what Heroku needs. NAME is that of your agent."""
    if name == _PACKAGE:
        raise click.BadParameter("is the name of this package; give your agent's", param_hint="NAME")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise click.BadParameter(
            f"{name!r} cannot be the name; use lower-case letters, digits and single hyphens, a letter first, "
            f"at most {_LONGEST_NAME} of them, for example my-agent",
            param_hint="NAME",
        )
    target = Path(name) if folder is None else folder
    there = [path for path in _FILES if (target / path).exists()]
    if there and not force:
        raise Failure(
            f"{target} has {', '.join(there)} already; nothing was written",
            "choose another folder with --dir, or replace these files with --force",
            FAILED,
        )
    origin = _origin()
    values = {"name": name, "requirement": requirement(origin)}
    try:
        for path, source in _FILES.items():
            _write(target / path, source, values)
    except OSError as error:
        raise Failure(
            f"cannot write {error.filename}: {error.strerror}", "choose another folder with --dir", FAILED
        ) from None
    _print_next_steps(target)
    if str(origin.get("url", "")).startswith("file:"):
        click.echo(
            f"\nNote: {_PACKAGE} was installed from a folder of this machine, which other machines do not have. Before "
            "you deploy, change its requirement in pyproject.toml if there is no such release, for example to "
            f"`{_PACKAGE} @ git+https://…`."
        )


def requirement(origin: Mapping[str, Any]) -> str:
    """How a project asks for this package: from the repository it was installed from, else by its version."""
    if vcs := origin.get("vcs_info"):
        return f"{_PACKAGE} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    major, minor, _ = __version__.split(".")
    return f"{_PACKAGE}>={__version__},<{major}.{int(minor) + 1}"


def _origin() -> dict[str, Any]:
    """Where this package was installed from (PEP 610); empty for a package index."""
    try:
        return dict(json.loads(distribution(_PACKAGE).read_text("direct_url.json") or "{}"))
    except PackageNotFoundError:
        return {}


def _write(path: Path, source: str, values: dict[str, str]) -> None:
    text = files("workers.project").joinpath(source).read_text("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(text).substitute(values) if source.endswith(".tmpl") else text, "utf-8")


def _print_next_steps(target: Path) -> None:
    click.echo(f"Wrote {target}{'' if target == Path() else '/'}: {', '.join(_FILES)}\n")
    click.echo("Next:")
    if target.resolve() != Path.cwd():
        click.echo(f"  cd {target}")
    click.echo("  pip install -e '.[test]' && pytest     # asks a human on this machine, and your handler acts")
    click.echo("  edit handlers.py                       # what is to happen when a human has answered")
    click.echo("  less README.md                         # how to deploy it")
