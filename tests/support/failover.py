"""A primary with replicas, and Sentinels that watch them: real servers on the loopback interface."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import redis

from receiver.embedded import EmbeddedRedis, find_server, free_port
from receiver.guard import Guard
from tests.support.waiting import wait_until

SERVICE: Final = "mymaster"
# A primary would wait 5 s for more replicas before it sends the first one its data.
AT_ONCE: Final = {"repl-diskless-sync-delay": "0"}
# A busy disk must not look like a dead server.
_PATIENT: Final = {**AT_ONCE, "appendfsync": "no"}
_CONFIG: Final = """port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 3000
sentinel myid {id}
"""


def replica_of(primary: EmbeddedRedis, port: int | None = None, options: Mapping[str, str] = AT_ONCE) -> EmbeddedRedis:
    """A server that replicates ``primary``, by way of ``port`` if one is given; not started yet."""
    return EmbeddedRedis(options={**options, "replicaof": f"127.0.0.1 {port or primary.port}"})


def is_synced(replica: EmbeddedRedis) -> bool:
    """Whether it has all that its primary has written, but for what is on the way."""
    with replica.client() as client:
        return client.info("replication").get("master_link_status") == "up"


class Sentinel:
    """One Sentinel process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.id = secrets.token_hex(20)
        self.client: Any = redis.Redis(port=self.port, socket_timeout=2)
        self._folder = Path(tempfile.mkdtemp(prefix="hiloop-sentinel-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, servers: list[EmbeddedRedis], others: list[Sentinel]) -> None:
        """Start it, knowing what it would find out by itself within 10 s. The first of ``servers`` is the primary."""
        text = _CONFIG.format(port=self.port, folder=self._folder, service=SERVICE, primary=servers[0].port, id=self.id)
        text += "".join(f"sentinel known-replica {SERVICE} 127.0.0.1 {one.port}\n" for one in servers[1:])
        text += "".join(f"sentinel known-sentinel {SERVICE} 127.0.0.1 {one.port} {one.id}\n" for one in others)
        config = self._folder / "sentinel.conf"
        config.write_text(text)
        self._process = subprocess.Popen(
            [find_server(), str(config), "--sentinel"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._guard = Guard(self._process.pid, self._folder)

    def state(self) -> dict[str, Any]:
        """What it knows of the service; empty as long as it does not answer."""
        try:
            known: dict[str, Any] = self.client.sentinel_master(SERVICE)
        except redis.RedisError:
            return {}
        return known

    def is_ready(self) -> bool:
        """Whether it could carry out a failover now: a quorum of Sentinels, and replicas that it hears."""
        try:
            self.client.sentinel_ckquorum(SERVICE)
            return all(
                one["master-link-status"] == "ok" and not one["is_sdown"]
                for one in self.client.sentinel_slaves(SERVICE)
            )
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Kill it and remove its folder."""
        self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._guard.release()
        shutil.rmtree(self._folder, ignore_errors=True)


class SentinelSetup:
    """A primary, its replicas and three Sentinels. Use as a context manager."""

    def __init__(self, replicas: int = 1) -> None:
        primary = EmbeddedRedis(options=_PATIENT)
        self.servers = [primary, *(replica_of(primary, options=_PATIENT) for _ in range(replicas))]
        self.sentinels = [Sentinel() for _ in range(3)]

    @property
    def url(self) -> str:
        """The address to give to clients."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def primary(self) -> EmbeddedRedis:
        """The server that the Sentinels name."""
        port = self.sentinels[0].state()["port"]
        return next(server for server in self.servers if server.port == port)

    def client(self) -> redis.Redis:
        """A client of the primary of now."""
        return self.primary.client()

    def start(self) -> Self:
        """Start everything and wait until all know each other."""
        for server in self.servers:
            server.start()
        wait_until(lambda: all(is_synced(replica) for replica in self.servers[1:]), 20, "the replicas are in step")
        for sentinel in self.sentinels:
            sentinel.start(self.servers, [other for other in self.sentinels if other is not sentinel])
        wait_until(self._is_watched, 20, "all Sentinels see everybody alive")
        return self

    def _is_watched(self) -> bool:
        return all(sentinel.is_ready() for sentinel in self.sentinels)

    def fail_over(self) -> float:
        """Kill the primary (SIGKILL), wait until another one serves; returns the seconds it took.

        The killed one comes back as a replica, which the Sentinels would see to after ten seconds or more.
        """
        dead = self.primary
        started = time.monotonic()
        dead.kill()
        wait_until(lambda: self._agree_on_another(dead), 30, "the Sentinels agree on a new primary")
        took = time.monotonic() - started
        dead.start()
        with dead.client() as client:
            client.replicaof("127.0.0.1", self.primary.port)
        wait_until(self._is_in_step, 30, "the others replicate the new primary")
        return took

    def _is_in_step(self) -> bool:
        primary = self.primary
        return all(is_synced(server) for server in self.servers if server is not primary)

    def _agree_on_another(self, dead: EmbeddedRedis) -> bool:
        ports = {sentinel.state().get("port") for sentinel in self.sentinels}
        if len(ports) != 1 or dead.port in ports:
            return False
        with self.primary.client() as client:
            return client.info("replication")["role"] == "master"

    def stop(self) -> None:
        """Stop everything."""
        for sentinel in self.sentinels:
            sentinel.stop()
        for server in self.servers:
            server.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
