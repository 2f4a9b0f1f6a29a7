"""This package as its users have it: built, and installed from the wheel into an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel in it; ``wheel`` and ``sdist`` are what was built."""

    folder: Path
    wheel: Path
    sdist: Path

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a process that uses it: nothing of this one's but where programs and the home are."""
        keep = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        return {**keep, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **(settings or {})}

    def run(
        self, *command: str, folder: Path, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment to its end, in ``folder``."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=folder,
            env=self.environment(settings),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def install(self, *packages: str) -> None:
        """Install from files on this machine, without dependencies and without a network."""
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin" / "python"), "install", "-q"]
        subprocess.run([*command, *offline, *packages], env=self.environment(), check=True)


def build_and_install(folder: Path) -> Installed:
    """Build wheel and sdist, and install the wheel. What it depends on is that of the environment of the tests."""
    built = folder / "dist"
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(built)], cwd=ROOT, check=True)
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # A folder in a .pth comes after the environment's own packages, and no .pth in it is read: an editable
    # installation of this package there is not seen.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    installed = Installed(environment, wheel, sdist)
    installed.install(str(wheel))
    return installed
