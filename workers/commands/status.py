"""The command `status`: how the whole is doing, once or again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from receiver.ledger import Ledger, Status, WorkerState
from workers.commands.edge import Seconds, explained, open_queue, output_option
from workers.commands.output import age, cell, console, print_json, size

_LOSSES = ("evicted", "expired", "discarded")


@click.command(
    epilog="""\b
Examples:
  hiloop-receiver status
  hiloop-receiver status --watch
  hiloop-receiver status --output json | jq .dead"""
)
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@click.option("--every", type=Seconds(), default="1s", show_default=True, help="With --watch: how often.")
@output_option
@explained
def status(*, watch: bool, every: float, output: str) -> None:
    """Show queue, workers, rates and latencies (from POST to handled, over the last minutes)."""
    ledger = Ledger(*open_queue())
    now = ledger.status()
    if not watch:
        if output == "json":
            print_json(asdict(now))
        else:
            console().print(_table(now))
        return
    with suppress(KeyboardInterrupt):
        _watch(ledger, now, every, as_json=output == "json")


def _watch(ledger: Ledger, now: Status, every: float, *, as_json: bool) -> None:
    """Show it for ever; on the screen in one place."""
    if as_json:
        while True:
            print_json(asdict(now))
            time.sleep(every)
            now = ledger.status()
    with Live(_table(now), console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(_table(ledger.status()), refresh=True)


def _table(now: Status) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    depth = ", ".join(f"{queue} {number}" for queue, number in now.depth.items() if number)
    limit = f" of {size(now.memory_limit)}" if now.memory_limit else ""
    lines = {
        "waiting": f"{now.waiting}" + (f"  ({depth}; {now.deferred} for their session)" if now.waiting else ""),
        "oldest": "" if now.oldest_waiting is None else age(now.oldest_waiting),
        "in flight": f"{now.in_flight} of {sum(worker.concurrency for worker in now.workers)}",
        "retrying": str(now.retrying),
        "dead": f"{now.dead}" + (f"  ({size(now.dead_bytes)})" if now.dead else ""),
        "lost dead": ", ".join(f"{now.counters[name]} {name}" for name in _LOSSES if now.counters.get(name)),
        "handled": f"{now.counters.get('handled', 0)}  ({now.kept} kept)",
        "rates": f"{now.accept_rate:.1f}/s accepted, {now.handle_rate:.1f}/s handled",
        "latency": ", ".join(f"{name} {value:g} ms" for name, value in now.latency_ms.items() if value is not None),
        "duplicates": str(now.counters.get("duplicates", 0)),
        "redis": f"{size(now.memory)}{limit}",
        "workers": "suspended" if now.suspended else str(len(now.workers)),
    }
    for name, text in lines.items():
        if text:
            table.add_row(name, text)
    for worker in now.workers:
        table.add_row("", _worker(worker))
    return table


def _worker(worker: WorkerState) -> Text:
    return Text("  ").join(
        cell(text)
        for text in (
            worker.name[:8],
            f"{worker.hostname}:{worker.pid}",
            f"{worker.state:<9}",
            f"{worker.in_flight} of {worker.concurrency} in flight",
            f"{worker.handled} handled",
        )
    )
