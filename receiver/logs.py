"""Logs of the web process and of workers: structlog for our own lines, and what libraries log looks the same.

No line holds a payload, a secret or the text of an exception: of an error, type and place are told, whoever logs it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from receiver.lines import FORMATS, Render
from receiver.places import describe, trail

# Where structlog finds rich, it loads it for tracebacks that nobody sees here: 4 MB and 35 ms of a web process.
_rich_is_loaded = "rich" in sys.modules
if not _rich_is_loaded:
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say: not to be imported
import structlog  # noqa: E402  # see above
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger  # noqa: E402  # the same

if not _rich_is_loaded:
    del sys.modules["rich"]

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
# What they log of every request and job may quote addresses and arguments.
_CHATTY: Final = ("httpx", "httpcore", "rq")


def get_logger() -> FilteringBoundLogger:
    """A logger; `set_up_logs` decides where its lines go, and which."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def parse_level(text: str) -> int:
    """A level by its name. Raises `ValueError`."""
    name = text.upper()
    if name not in _LEVELS:
        raise ValueError(f"must be one of: {', '.join(_LEVELS).lower()}")
    return int(getattr(logging, name))


def set_up_logs(level: int, layout: str, stream: BinaryIO | None = None) -> None:
    """Send all logs of this process from ``level`` on to ``stream``, else to standard output, as platforms expect.

    ``layout``: one of `receiver.lines.FORMATS`.
    """
    output = _Output(stream or sys.stdout.buffer, FORMATS[layout])
    structlog.configure(
        processors=[output.line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=level, handlers=[_OfLibraries(output)], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The interpreter would write the error's text.
    sys.excepthook = lambda _type, error, _traceback: output.uncaught(error, "main")
    threading.excepthook = lambda args: output.uncaught(args.exc_value, args.thread.name if args.thread else "")


class _Output:
    """Where lines go. One that cannot be written is lost: no event may fail for want of a log."""

    def __init__(self, stream: BinaryIO, render: Render) -> None:
        self._stream = stream
        self._render = render

    def line(self, _logger: WrappedLogger, level: str, fields: EventDict) -> bytes:
        """The line of one call of ours (the one processor of structlog)."""
        what = fields.pop("event")
        if "exc_info" in fields:
            _explain(fields, fields.pop("exc_info"))
        return self.render(time.time(), level, str(what), fields)

    def render(self, at: float, level: str, what: str, fields: Mapping[str, Any]) -> bytes:
        """One line in UTF-8."""
        return self._render(at, level, what, fields).encode() + b"\n"

    def write(self, line: bytes) -> None:
        """Write a line at once, whole among those of other threads."""
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = write

    def uncaught(self, error: BaseException | None, thread: str) -> None:
        """Tell of an error that has ended a thread."""
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            fields: dict[str, Any] = {"thread": thread}
            _explain(fields, error)
            self.write(self.render(time.time(), "error", "uncaught error", fields))


class _OfLibraries(logging.Handler):
    """Takes what goes through `logging`: libraries' records, and those of users' own code."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with type and place of the errors in it only."""
        fields: dict[str, Any] = {"logger": record.name}
        try:
            what = _without_texts(record)
        except Exception as error:  # noqa: BLE001  # arguments that do not fit, or cannot be shown
            what = str(record.msg)
            fields["bad_arguments"] = describe(error)
        if record.exc_info:
            # What follows in further lines is the error once more (asyncio shows the task that has failed).
            what = what.partition("\n")[0]
            _explain(fields, record.exc_info)
        self._output.write(self._output.render(record.created, record.levelname.lower(), what, fields))


def _without_texts(record: logging.LogRecord) -> str:
    """The message of a record with its errors described, and without a traceback that is part of its text."""
    if isinstance(record.msg, OSError):
        return str(record.msg.strerror)  # uvicorn says so that its port is taken
    if isinstance(record.msg, BaseException):
        return describe(record.msg)
    arguments: Any = record.args
    if isinstance(arguments, Mapping):
        arguments = {name: _without_text(one) for name, one in arguments.items()}
    elif arguments:
        arguments = tuple(_without_text(one) for one in arguments)
    message = str(record.msg) % arguments if arguments else str(record.msg)
    before, traceback, _ = message.partition("Traceback (most recent call last)")
    if traceback:
        # Starlette and uvicorn pass on what `traceback.format_exc` says.
        error = sys.exc_info()[1]
        message = f"{before.strip()} {describe(error) if error else 'an error, whose text is left out'}".strip()
    return message.strip()


def _without_text(argument: Any) -> Any:
    return describe(argument) if isinstance(argument, BaseException) else argument


def _explain(fields: EventDict, exc_info: Any) -> None:
    error = sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        fields["error"], fields["trail"] = describe(error), trail(error)
