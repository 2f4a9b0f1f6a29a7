"""Blocking reads of Redis for the pages: in few threads, and never many in line, so that webhooks keep their pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

THREADS: Final = 2
MOST_IN_LINE: Final = 64

_Result = TypeVar("_Result")


class Busy(Exception):
    """Too much is to be read already."""


class Pool:
    """Two threads, which start when they are first needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dashboard")
        self._in_line = 0

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """The result of ``call``, made in a thread. Raises `Busy`, and what the call raises."""
        if self._in_line >= MOST_IN_LINE:
            raise Busy
        self._in_line += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._in_line -= 1

    def close(self) -> None:
        """Start no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
