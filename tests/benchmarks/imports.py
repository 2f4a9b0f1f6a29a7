"""What importing the client costs beyond httpx and PyNaCl, which it cannot do without.

python -m tests.benchmarks.imports
"""

from __future__ import annotations

import subprocess
import sys

ROUNDS = 15


def import_seconds(first: str, then: str) -> float:
    """How long ``then`` takes to import in a fresh interpreter that has imported ``first``."""
    code = f"import {first}, time; t = time.perf_counter(); import {then}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    """The command line."""
    # The cheapest is the cost; what is above it is what else the machine does.
    below = min(import_seconds("sys", "httpx, nacl.bindings") for _ in range(ROUNDS))
    client = min(import_seconds("httpx, nacl.bindings", "receiver.client") for _ in range(ROUNDS))
    print(f"httpx and PyNaCl {below * 1000:.0f} ms, receiver.client {client * 1000:.0f} ms more   (aim: at most 30)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
