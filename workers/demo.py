"""`hiloop-receiver demo`: the whole loop on this machine, told step by step in the terminal.

Starts an embedded Redis, the local Hiloop with its human, the web process and a worker; lets agents ask what Hiloop's
SDK page shows; and follows every event from the logs of the two processes.
"""

from __future__ import annotations

import json
import queue
import re
import secrets
import signal
import time
from contextlib import ExitStack
from datetime import datetime
from types import FrameType
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from receiver.client import HiloopClient
from receiver.events import RESPONSE_TYPE
from receiver.sandbox.harness import LocalHiloop
from workers.demo_messages import EXAMPLES, Example
from workers.local import LocalReceiver

_PATIENCE: Final = 14.0  # seconds in which `--once` must be through
_WHAT_HUMANS_DO: Final = (RESPONSE_TYPE, "message.created")
_SAYS: Final = re.compile(r"demo-says: event=(?P<event>\S+) (?P<text>.*)")


def run_demo(*, once: bool, auto: bool, port: int) -> int:
    """Show the loop; returns the exit code. ``once``: one approval, answered by itself, within 15 s."""
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            return _Demo(console, stack, auto=auto or once, port=port).run(
                EXAMPLES[:1] if once else EXAMPLES, once=once
            )
    except KeyboardInterrupt:
        console.print("\n[dim]Stopped; nothing is left running.[/]")
        return 1 if once else 0


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Demo:
    def __init__(self, console: Console, stack: ExitStack, *, auto: bool, port: int) -> None:
        self.console = console
        self.auto = auto
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.story = _Story(console)
        started = time.monotonic()
        rules = [rule for example in EXAMPLES for rule in example.rules] if auto else []
        self.hiloop = stack.enter_context(LocalHiloop(auto=rules, port=port))
        self.token = secrets.token_hex(8)
        self.receiver = stack.enter_context(
            LocalReceiver(
                self.hiloop,
                handlers="workers.demo_handlers",
                agent=EXAMPLES[0].agent,
                settings={"HILOOP_LOG_FORMAT": "json", "HILOOP_DASHBOARD_TOKEN": self.token},
                read=self.lines.put,
            )
        )
        console.print(
            f"[bold]hiloop-receiver[/] [dim]Redis, Hiloop, web and worker run after[/] "
            f"{time.monotonic() - started:.1f} s [dim](all on this machine)[/]\n"
        )

    def run(self, examples: tuple[Example, ...], *, once: bool) -> int:
        if not once:
            self.console.print(f"Open the human's page:  [link]{self.hiloop.page_url}[/]", soft_wrap=True)
            self.console.print(
                f"Watch the receiver:     [link]{self.receiver.url}/dashboard[/]  [dim]token[/] {self.token}\n",
                soft_wrap=True,
            )
        self.console.print("Agents ask:")
        for example in examples:
            self._ask(example)
        deadline = time.monotonic() + _PATIENCE if once else None
        while deadline is None or time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                continue
            handled = self.story.follow(line)
            if once and handled:
                self.console.print("\n[green]✓[/] the human's answer was handled")
                return 0
        self.console.print("\n[red]✗[/] the answer was not handled in time")
        return 1

    def _ask(self, example: Example) -> None:
        with HiloopClient(self.hiloop.api_key, example.agent, base_url=self.hiloop.url) as client:
            session = client.create_session(title=example.title, priority=example.priority)
            client.send_message(session.id, components=example.components)
        hint = "the human answers by itself" if self.auto and example.rules else example.to_do
        self.console.print(f"  [cyan]{example.agent:<12}[/] {escape(example.title)} [dim]— {hint}[/]")


class _Story:
    """Tells the way of each event, once both processes have written of it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.accepted: dict[str, dict[str, Any]] = {}
        self.handled: dict[str, dict[str, Any]] = {}
        self.said: dict[str, str] = {}

    def follow(self, line: str) -> bool:
        """Take in one line of a log. Returns whether an answer's story has been told now."""
        if says := _SAYS.fullmatch(line):
            self.said[says["event"]] = says["text"]
            return False
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            self.console.print(f"[red]{escape(line)}[/]")
            return False
        what = values["message"]
        if what in ("accepted", "handled"):
            # The worker may be through before the web process has written that it has its answer from Redis.
            (self.accepted if what == "accepted" else self.handled)[values["event_id"]] = values
            return self._tell(values["event_id"])
        if values["level"] != "info":
            told = {name: value for name, value in values.items() if name not in ("time", "level", "message")}
            self.console.print(f"[yellow]{escape(what)}: {escape(' '.join(f'{n}={v}' for n, v in told.items()))}[/]")
        return False

    def _tell(self, event: str) -> bool:
        if event not in self.accepted or event not in self.handled:
            return False
        web, worker = self.accepted.pop(event), self.handled.pop(event)
        kind: str = worker["type"]
        said = escape(self.said.pop(event, ""))
        if kind not in _WHAT_HUMANS_DO:
            self.console.print(f"[dim]{escape(kind)} {escape(event)} {said}[/]")
            return False
        verified = web["verified_ms"]
        received_at = _unix_time(web) - (verified + web["queued_ms"]) / 1000
        handled = (_unix_time(worker) - received_at) * 1000
        opened = handled - worker["ms"]
        # What was claimed was durable before; the web process hears of it at the same time.
        queued = min(verified + web["queued_ms"], opened)
        self.console.print(f"\n[bold]{escape(kind)}[/] [dim]{escape(event)}[/]")
        size = f"{web['bytes'] / 1000:.1f} kB, sealed for the agent and signed"
        for after, step, what in (
            (0.0, "received", size),
            (verified, "verified", "bearer token and HMAC over the raw bytes"),
            (queued, "queued", "durable in Redis; Hiloop gets its 202"),
            (opened, "opened", "claimed by the worker, opened with the agent's key"),
            (handled, "handled", f"{worker['handler']} → [bold]{said}[/]"),
        ):
            self.console.print(f"  [dim]{after:8.1f} ms[/]  [green]{step:<9}[/] {what}")
        return kind == RESPONSE_TYPE


def _unix_time(values: dict[str, Any]) -> float:
    return datetime.fromisoformat(values["time"]).timestamp()
