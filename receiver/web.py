"""Run the web process: uvicorn, set up for what faces the internet. `python -m receiver.web`"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import uvicorn

from receiver.errors import ConfigurationError
from receiver.logs import set_up_logs
from receiver.settings import WebSettings

_USAGE: Final = 2
# Heroku kills after 30 s; requests take milliseconds.
_SHUTDOWN_SECONDS: Final = 10
_KEEP_ALIVE_SECONDS: Final = 75  # longer than the routers of platforms keep theirs


def server_options(settings: WebSettings) -> dict[str, Any]:
    """What uvicorn is told. The HTTP parser is httptools: h11 accepts requests that smuggle others."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": "httptools",
        "ws": "none",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "log_config": None,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT. Several processes share one port; each sets itself up from the environment."""
    try:
        settings = WebSettings.from_environment(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"Error: {error}\nHint: settings are environment variables; the README lists them all.\n")
        sys.exit(_USAGE)
    set_up_logs(settings.log_level, settings.log_format)
    uvicorn.run("receiver.app:from_environment", factory=True, workers=settings.processes, **server_options(settings))


if __name__ == "__main__":
    main()
