"""Run a sandbox with uvicorn on a socket of this machine."""

from __future__ import annotations

import errno
import socket

import uvicorn

from receiver.sandbox.app import Sandbox
from receiver.sandbox.problems import CannotListen

_GRACE = 3  # seconds that requests under way get at the end


class Server(uvicorn.Server):
    """The server of one sandbox: it lets go of streams and long polls before it waits for requests to end."""

    def __init__(self, sandbox: Sandbox) -> None:
        # Logging is up to whoever starts the sandbox. Requests are not logged: the sandbox tells what happens.
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                http="httptools",
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._sandbox = sandbox

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; called by uvicorn."""
        self._sandbox.let_go()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 means any that is free. Raises `CannotListen`."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise CannotListen(f"port {port} is taken") from None
        raise CannotListen(f"cannot listen on {host} port {port}") from None
