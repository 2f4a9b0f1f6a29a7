"""Run the web process: uvicorn, set up for what faces the internet. `python -m receiver.web`"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, Final, NoReturn

import uvicorn

from receiver.demands import check_redis
from receiver.door import KEEP_ALIVE_SECONDS, GuardedProtocol
from receiver.errors import ConfigurationError
from receiver.logs import set_up_logs
from receiver.settings import WebSettings

_USAGE: Final = 2
# Heroku kills after 30 s; requests take milliseconds.
_SHUTDOWN_SECONDS: Final = 10


def server_options(settings: WebSettings) -> dict[str, Any]:
    """What uvicorn is told."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": GuardedProtocol,
        "ws": "none",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "log_config": None,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT. Several processes share one port; each sets itself up from the environment."""
    signal.signal(signal.SIGTERM, _end)
    try:
        settings = WebSettings.from_environment(os.environ)
        set_up_logs(settings.log_level, settings.log_format)
        check_redis(settings, settings.durability)
    except ConfigurationError as error:
        sys.stderr.write(f"Error: {error}\nHint: settings are environment variables; the README lists them all.\n")
        sys.exit(_USAGE)
    uvicorn.run("receiver.app:from_environment", factory=True, workers=settings.processes, **server_options(settings))


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    """End with 0 when told to stop, as workers do: to a supervisor anything else is a failure.

    uvicorn finishes what is under way, then raises the signal again, which would end this process with -15. So would
    one more SIGTERM, which platforms send, while the interpreter comes to its end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
