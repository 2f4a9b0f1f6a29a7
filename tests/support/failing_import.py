"""A module of handlers that cannot be imported, and whose error shows every secret."""

from __future__ import annotations

import os

raise RuntimeError(" ".join(os.environ.values()))
