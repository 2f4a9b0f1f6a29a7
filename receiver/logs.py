"""Logs: one line an event and attempt, `what: key=value …`, in UTC, safe to read in a terminal."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
# A value from outside must not forge a line of its own or steer the terminal.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x0A}
_LONGEST: Final = 4000


class LineFormatter(logging.Formatter):
    """One line a record, but for tracebacks; control characters are spelled out."""

    def formatTime(self, record: logging.LogRecord, _format: str | None = None) -> str:  # noqa: N802  # logging's name
        """The record's time in UTC with microseconds (RFC 3339)."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line, without control characters, and not endless whatever a value from outside holds."""
        return super().formatMessage(record)[:_LONGEST].translate(_CONTROLS).replace("\n", "\\n")


def parse_level(text: str) -> int:
    """A level by its name. Raises `ValueError`."""
    name = text.upper()
    if name not in _LEVELS:
        raise ValueError(f"must be one of: {', '.join(_LEVELS).lower()}")
    return int(getattr(logging, name))


def set_up_logs(level: int) -> None:
    """Send all logs from ``level`` on to standard output, as platforms expect."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What they log of every request and job may quote arguments.
    for chatty in ("httpx", "httpcore", "rq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
