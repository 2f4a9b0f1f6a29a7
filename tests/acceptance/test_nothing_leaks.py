"""Nothing leaks: a plaintext and every secret go through success, every kind of failure, crash, replay and commands.

Then all of Redis (what is in it, what was said to it, its files), all logs, all that commands print and all HTTP
answers are searched for them, in every form. A new secret is a line in `SECRETS`, a new page a line in `PAGES`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from receiver.client import HiloopClient
from receiver.dashboard.access import Access
from receiver.dashboard.safety import _COOKIE as SESSION_COOKIE
from receiver.embedded import EmbeddedRedis
from receiver.envelope import open_envelope
from receiver.keyring import KeyPair, Keyring
from receiver.settings import WebSettings, WorkerSettings
from receiver.testing import webhook_body
from tests.support import commands
from tests.support.leaks import dump, leaks
from tests.support.processes import WORKER_SETTINGS, Running, start, start_web, start_worker
from tests.support.waiting import wait_until
from tests.support.wire import HUMAN, Reply, answer, exchange, post, request_head, signature
from workers.claims import Claimed
from workers.job import open_job

PLAINTEXT: Final = "canary-plaintext-5f1c9d2e7b"
PRIVATE_KEY: Final = bytes(range(100, 132))
API_KEY: Final = "hlp_" + "c4" * 32
REDIS_PASSWORD: Final = "canary-redis-password-8d1e"
TOKEN: Final = "canary-webhook-token-2b7f"
SECRET: Final = "canary-webhook-secret-91ac"

# What must show nowhere, by the setting that holds it.
SECRETS: Final[Mapping[str, str]] = {
    "HILOOP_WEBHOOK_TOKEN": TOKEN,
    "HILOOP_WEBHOOK_SECRET": SECRET,
    "HILOOP_API_KEY": API_KEY,
    "HILOOP_AGENT_KEYS": base64.b64encode(PRIVATE_KEY).decode(),
    "HILOOP_METRICS_TOKEN": "canary-metrics-token-40de",
    "HILOOP_DASHBOARD_TOKEN": "canary-dashboard-token-77c0",
    "HILOOP_DASHBOARD_READ_TOKEN": "canary-dashboard-read-token-e5a8",
    "HILOOP_ALERT_URL": "https://alerts.example/canary-alert-path-63bd",
}
HIDDEN: Final[Mapping[str, bytes]] = {
    "plaintext": PLAINTEXT.encode(),
    "private key": PRIVATE_KEY,
    "API key's bytes": bytes.fromhex(API_KEY.removeprefix("hlp_")),
    "Redis password": REDIS_PASSWORD.encode(),
    **{name: value.encode() for name, value in SECRETS.items()},
}
PAGES: Final = [
    *("/healthz", "/readyz", "/metrics", "/", "/nowhere", "/dashboard/login", "/dashboard/", "/dashboard/sessions"),
    *("/dashboard/events", "/dashboard/event?id=evt_raise", "/dashboard/session?id=raise", "/dashboard/handlers"),
    *("/dashboard/deliveries", "/dashboard/orders"),
]

AGENT: Final = KeyPair.from_private(PRIVATE_KEY)
ENDS: Final = {
    "succeed": "finished",
    "raise": "failed",
    "raise from": "failed",
    "raise a group": "failed",
    "raise what is no Exception": "failed",
    "exit": "failed",
    "time out": "failed",
    "leave a task": "finished",
    "leave a thread": "finished",
    "log": "finished",
    "discard": "finished",
    "later": "finished",
    "crash": "finished",
}
COMMANDS: Final = [
    ["status"],
    ["status", "--output", "json"],
    ["events", "list", "--output", "json"],
    ["events", "list", "--status", "handled"],
    ["events", "show", "evt_raise"],
    ["events", "show", "evt_raise", "--output", "json"],
    ["events", "replay", "--all", "--yes"],
    ["events", "discard", "evt_damaged", "--yes"],
    ["handlers", "list"],
    ["keys", "show"],
    ["doctor"],
    ["deliveries", "list", "--agent", "a-bot"],
    ["reconcile", "--since", "1h", "--agent", "a-bot"],
    ["nonsense"],
]


@dataclass(slots=True)
class Everything:
    """All that was said, by where."""

    places: dict[str, bytes] = field(default_factory=dict)

    def add(self, place: str, content: bytes | str) -> None:
        """Note what was said somewhere."""
        content = content.encode() if isinstance(content, str) else content
        self.places[place] = self.places.get(place, b"") + content

    def answered(self, place: str, reply: Reply) -> Reply:
        """Note an HTTP answer."""
        self.add(f"HTTP answer: {place}", repr(reply.headers).encode() + reply.body)
        return reply


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server whose files are kept in plain sight."""
    folder = tmp_path / "redis"
    folder.mkdir()
    options = {"rdbcompression": "no", "aof-use-rdb-preamble": "no"}
    with EmbeddedRedis(folder=folder, options=options) as server:
        yield server


@contextlib.contextmanager
def listening(client: redis.Redis, everything: Everything) -> Iterator[None]:
    """Note every command that anybody sends to the server."""
    with client.monitor() as monitor:
        lines: list[str] = []

        def listen() -> None:
            with contextlib.suppress(redis.RedisError, OSError, ValueError):
                lines.extend(str(line["command"]) for line in monitor.listen())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield
        client.echo("the end of what is listened to")
        wait_until(lambda: lines and "the end of what" in lines[-1])
    everything.add("commands to Redis", "\n".join(lines))


def event_of(what: str) -> str:
    """The id of the event that does something."""
    return f"evt_{what.replace(' ', '_')}"


def sealed(what: str) -> bytes:
    """An answer whose plaintext says what to do, and holds the canary."""
    order = {"do": what, "canary": PLAINTEXT}
    return answer(order, event_id=event_of(what), agent=AGENT, session_id=what)


@pytest.mark.timeout(300)  # twenty processes, on whatever machine
def test_nothing_leaks(server: EmbeddedRedis, tmp_path: Path) -> None:
    everything = Everything()
    with server.client() as client:
        client.config_set("requirepass", REDIS_PASSWORD)
    client = redis.Redis(port=server.port, password=REDIS_PASSWORD)
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.port}/0"
    environment = {
        **WORKER_SETTINGS,
        **SECRETS,
        "HILOOP_HANDLERS": "tests.support.leaking_handlers",
        "HILOOP_HANDLER_TIMEOUT": "500ms",
        "HILOOP_LEASE": "1s",
        "HILOOP_RETRIES": "1",
        "HILOOP_KEEP_EVENTS": "all",
        "HILOOP_LOG_LEVEL": "debug",
        "HILOOP_BASE_URL": "http://127.0.0.1:1",
        "HILOOP_AGENT_NAME": "a-bot",
        "LEAKS": str(tmp_path),
    }
    running: list[Running] = []
    try:
        with listening(client, everything):
            web = start_web(url, tmp_path, environment)
            running.append(web)
            ask_for_everything(web, everything)
            running.append(start_worker(url, tmp_path, environment))
            wait_until(lambda: (tmp_path / "crashed").exists() and running[-1].process.poll() is not None, 30)
            running.append(start_worker(url, tmp_path, {**environment, "HILOOP_LOG_FORMAT": "json"}))
            wait_until(lambda: all_have_ended(client), 30)
            look_at_pages(web, everything)
            run_commands({**environment, "REDIS_URL": url}, everything)
            wait_until(lambda: client.hget("hiloop:hiloop:counters", "replayed") and all_have_ended(client), 30)
            fail_to_start(url, environment, tmp_path, everything)
            for process in running:
                process.stop()
        server_files(client, server, tmp_path / "redis", everything)
    finally:
        for process in running:
            process.kill()
        client.close()
    for number, process in enumerate(running):
        everything.add(f"log {number}", process.log)
    show(everything)

    came_through = {what: (tmp_path / what).read_text() for what in ENDS}
    assert came_through == dict.fromkeys(ENDS, PLAINTEXT), "the canary was where it may be"
    assert "Leak at leaking_handlers.py:" in running[-1].log
    assert len(everything.places) > 40
    assert leaks(everything.places, HIDDEN) == []


def ask_for_everything(web: Running, everything: Everything) -> None:
    """Send every kind of event and request; what is refused holds the canary, too."""

    def send(place: str, body: bytes, **options: Any) -> int:
        return everything.answered(place, post(web.port, body, **{"token": TOKEN, "secret": SECRET, **options})).status

    for what in ENDS:
        assert send(what, sealed(what)) == 202
        assert send(f"{what}, again", sealed(what)) == 200
    closed = webhook_body(type="session.closed", session_id="closed", event_id="evt_closed")
    assert send("closed", closed) == 202
    damaged = json.loads(sealed("damaged"))
    envelope = damaged["data"]["response"]["encryptedResponse"]
    envelope["ciphertext"] = "AAAA" + envelope["ciphertext"][4:]
    assert send("damaged", json.dumps(damaged).encode()) == 202
    assert send("for another agent", answer({"canary": PLAINTEXT}, event_id="evt_unknown", session_id="unknown")) == 202
    assert send("no JSON", f'{{"data": "{PLAINTEXT}"'.encode()) == 400
    assert send("a bad id", f'{{"id": "/{PLAINTEXT}"}}'.encode()) == 400
    assert send("a wrong signature", sealed("raise"), secret="another-secret") == 401
    assert send("a wrong token", sealed("raise"), token="another-token") == 401
    assert send("no JSON by its type", sealed("raise"), change={"Content-Type": PLAINTEXT}) == 415
    assert send("another method", sealed("raise"), method="PUT") == 405
    everything.answered("no HTTP", exchange(web.port, f"{PLAINTEXT} {TOKEN}\r\n\r\n".encode()))


def look_at_pages(web: Running, everything: Everything) -> None:
    """Ask for every page, as a stranger and as somebody who may see it."""
    token = SECRETS["HILOOP_DASHBOARD_TOKEN"]
    cookie = Access([token.encode()], []).open(token, "Ada", nonce=b"nonce", now=time.time())
    signed_in = [
        ("Authorization", f"Bearer {SECRETS['HILOOP_METRICS_TOKEN']}"),
        ("Cookie", f"{SESSION_COOKIE}={cookie}"),
    ]
    for path in PAGES:
        for who, headers in (("a stranger", []), ("who may", signed_in)):
            reply = exchange(web.port, request_head(headers, method="GET", path=path))
            everything.answered(f"{path} for {who}", reply)
    assert b"evt_raise" in everything.places["HTTP answer: /dashboard/events for who may"]


def all_have_ended(client: redis.Redis) -> bool:
    """Whether every event is where it belongs."""
    for what, kind in ENDS.items():
        if client.hget(f"rq:job:{event_of(what)}", "status") != kind.encode():
            return False
    return client.zcard("rq:wip:hiloop") == 0 and client.llen("rq:queue:hiloop") == 0


def run_commands(environment: Mapping[str, str], everything: Everything) -> None:
    """Run every command that shows something, for people and for programs."""
    for arguments in COMMANDS:
        ended = commands.run(*arguments, env=environment)
        everything.add(f"hiloop-receiver {' '.join(arguments)}", ended.out + ended.err)
    ended = commands.run("status", env={**environment, "REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0"})
    everything.add("status without Redis", ended.out + ended.err)


def fail_to_start(url: str, environment: Mapping[str, str], folder: Path, everything: Everything) -> None:
    """Start processes that cannot work."""
    full = {**environment, "REDIS_URL": url, "HOST": "127.0.0.1", "PORT": "1"}
    wrong: dict[str, tuple[str, Mapping[str, str]]] = {
        "an import that fails": ("worker", {"HILOOP_HANDLERS": "tests.support.failing_import"}),
        "a Redis that is not there": ("worker", {"REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0"}),
        "a wrong address of Redis": ("web", {"REDIS_URL": f"http://:{REDIS_PASSWORD}@127.0.0.1"}),
        "a wrong key": ("worker", {"HILOOP_AGENT_KEYS": f"{SECRETS['HILOOP_AGENT_KEYS']}x"}),
        "a wrong API key": ("worker", {"HILOOP_API_KEY": f"{API_KEY}x"}),
        "a wrong number": ("web", {"HILOOP_MAX_BODY": TOKEN}),
    }
    for name, (command, change) in wrong.items():
        process = start(["-m", "workers.cli", command], folder, "wrong", {**full, **change})
        try:
            wait_until(lambda process=process: process.process.poll() or "redis" in process.log.lower(), 30, name)
        finally:
            process.kill()
        everything.add(f"log of {name}", process.log)


def server_files(client: redis.Redis, server: EmbeddedRedis, folder: Path, everything: Everything) -> None:
    """All that the server holds, in memory and in its files."""
    for place, content in dump(client).items():
        everything.add(place, content)
    client.save()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".rdb" for path in files)
    assert any(path.suffix == ".aof" and path.stat().st_size for path in files)
    for path in files:
        everything.add(f"file {path.name}", path.read_bytes())


def show(everything: Everything) -> None:
    """What objects that hold secrets show of themselves."""
    web = WebSettings.from_environment({**SECRETS, "REDIS_URL": f"redis://:{REDIS_PASSWORD}@h"})
    worker = WorkerSettings.from_environment(
        {**WORKER_SETTINGS, **SECRETS, "REDIS_URL": f"redis://:{REDIS_PASSWORD}@h"}
    )
    body = sealed("succeed")
    keyring = Keyring([AGENT])
    opened = open_job(body, signature(body, SECRET), secrets=[SECRET.encode()], keyring=keyring)
    envelope = json.loads(body)["data"]["response"]["encryptedResponse"]
    field_ = open_envelope(envelope, keyring=keyring, session_id="succeed", field_name="encryptedResponse")
    claimed = Claimed("job", "execution", body, signature(body), "", 1, "", "")
    with HiloopClient(API_KEY, "a-bot") as client:
        shown = [web, worker, keyring, AGENT, HUMAN, opened, field_, claimed, client, client.__dict__]
        for thing in shown:
            everything.add(f"repr of {type(thing).__name__}", f"{thing!r} {thing!s}")
