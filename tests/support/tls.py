"""TLS with a self-signed certificate in front of a server that has none, as Heroku's Redis is reached."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

CERTIFICATE: Final = Path(__file__).parents[1] / "vectors" / "self-signed.pem"


@contextmanager
def tls_before(port: int) -> Iterator[int]:
    """A loopback port that speaks TLS and hands on to ``port``, a connection each, until the block ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    ready, made = threading.Event(), dict[str, Any]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async def serve() -> None:
        made["loop"], made["end"] = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
        made["loop"].set_exception_handler(lambda *_: None)  # refused handshakes are what is tested
        made["port"] = server.sockets[0].getsockname()[1]
        ready.set()
        await made["end"].wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield made["port"]
    finally:
        made["loop"].call_soon_threadsafe(made["end"].set)
        thread.join(10)
    assert not thread.is_alive()
