"""The health check of the container image, run against a real web process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from receiver.embedded import free_port
from tests.support.processes import ROOT, Running


def check(port: int) -> int:
    """Run what the Dockerfile names; returns its exit code."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", dockerfile, re.MULTILINE)
    program, *arguments = json.loads(found)
    assert program == "python"
    environment = {**os.environ, "PORT": str(port)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL, check=False
    ).returncode


def test_it_tells_a_process_that_lives_from_one_that_does_not(web: Running) -> None:
    assert check(web.port) == 0
    assert check(free_port()) == 1
