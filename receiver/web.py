"""Run the web process: uvicorn, set up for what faces the internet."""

from __future__ import annotations

from typing import Any, Final

import uvicorn

from receiver.settings import WebSettings

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


def run_web(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT. Several processes share one port; each sets itself up from the environment."""
    uvicorn.run("receiver.app:from_environment", factory=True, workers=settings.processes, **server_options(settings))
