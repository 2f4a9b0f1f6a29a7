"""The commands about the platform's side: `deliveries` and `reconcile`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from receiver.client import WebhookDelivery
from receiver.exits import FAILED, REFUSED, Failure
from workers.commands.edge import (
    Moment,
    Seconds,
    agent_option,
    confirm,
    dry_run_option,
    explained,
    open_client,
    open_queue,
    output_option,
    webhook_option,
    yes_option,
)
from workers.commands.output import ago, cell, console, print_fields, print_json, print_rows
from workers.reconcile import Reconciliation, Report

_BAR: Final = 40
_STATUSES: Final = ("Pending", "Delivered", "Failed")


@click.group(
    epilog="""\b
Examples:
  hiloop-receiver deliveries list --status Failed
  hiloop-receiver deliveries stats
  hiloop-receiver deliveries retry dlv_01J…
  hiloop-receiver deliveries retry --failed --since 6h --yes"""
)
def deliveries() -> None:
    """What Hiloop has tried to deliver to us. Needs HILOOP_API_KEY and an agent."""


@deliveries.command(
    "list",
    epilog="""\b
Example:
  hiloop-receiver deliveries list --status Failed --since 1d""",
)
@agent_option
@click.option("--status", type=click.Choice(_STATUSES), help="Only these.")
@click.option("--since", type=Moment(), help="Created at or after: 2h (ago), or 2026-11-22T13:30Z.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show at most so many.")
@click.option("--all", "every", is_flag=True, help="Show all that match.")
@output_option
@explained
def list_deliveries(
    *, agent: str | None, status: str | None, since: datetime | None, limit: int, every: bool, output: str
) -> None:
    """List deliveries, the latest first."""
    found: list[WebhookDelivery] = []
    with open_client(agent) as client:
        for delivery in client.list_webhook_deliveries(limit=min(limit, 100), status=status):
            if (since is not None and delivery.created_at < since) or (len(found) == limit and not every):
                break
            found.append(delivery)
    if output == "json":
        for delivery in found:
            print_json(delivery.raw)
        return
    _print_deliveries(found)


@deliveries.command(
    epilog="""\b
Example:
  hiloop-receiver deliveries show dlv_01J…"""
)
@click.argument("delivery_id")
@agent_option
@output_option
@explained
def show(*, delivery_id: str, agent: str | None, output: str) -> None:
    """Show one delivery."""
    with open_client(agent) as client:
        delivery = client.get_webhook_delivery(delivery_id)
    if output == "json":
        print_json(delivery.raw)
        return
    print_fields(
        {
            "id": delivery.id,
            "event": delivery.event_id,
            "type": delivery.event_type,
            "session": delivery.session_id,
            "webhook": delivery.webhook_id,
            "status": delivery.status,
            "attempts": delivery.attempts,
            "last answer": delivery.last_status_code,
            "last error": delivery.last_error,
            "created": delivery.created_at,
            "delivered": delivery.delivered_at,
            "next try": ago(delivery.next_retry_at),
        }
    )


@deliveries.command(
    epilog="""\b
Example:
  hiloop-receiver deliveries stats --agent deploy-bot"""
)
@agent_option
@output_option
@explained
def stats(*, agent: str | None, output: str) -> None:
    """Show how deliveries have gone."""
    with open_client(agent) as client:
        counted = client.get_webhook_delivery_stats()
    if output == "json":
        print_json(counted.raw)
        return
    terminal = console()
    for name, number in zip(_STATUSES, (counted.pending, counted.delivered, counted.failed), strict=True):
        filled = round(number / counted.total * _BAR) if counted.total else 0
        line = cell(name)
        line.pad_right(10 - len(name))
        line.append("█" * filled, style=line.style or "dim")
        line.append("·" * (_BAR - filled), style="dim")
        line.append(f" {number}")
        terminal.print(line)
    rate, latency = counted.success_rate, counted.average_latency_ms
    print_fields(
        {
            "total": counted.total,
            "success": None if rate is None else f"{rate:.1%}",
            "latency": None if latency is None else f"{latency:.0f} ms on average",
            "since": counted.since,
        }
    )


@deliveries.command(
    epilog="""\b
Examples:
  hiloop-receiver deliveries retry dlv_01J…
  hiloop-receiver deliveries retry --failed --since 6h --yes"""
)
@click.argument("delivery_ids", nargs=-1)
@agent_option
@click.option("--failed", is_flag=True, help="All that have failed.")
@click.option("--since", type=Moment(), help="With --failed: created at or after.")
@yes_option
@dry_run_option
@output_option
@explained
def retry(
    *,
    delivery_ids: tuple[str, ...],
    agent: str | None,
    failed: bool,
    since: datetime | None,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Have Hiloop send deliveries again."""
    if bool(delivery_ids) == failed:
        raise click.UsageError("Say which: either ids, or --failed.")
    with open_client(agent) as client:
        if delivery_ids:
            found = tuple(client.get_webhook_delivery(one) for one in delivery_ids)
        else:
            found = client.retry_failed_deliveries(since=since, dry_run=True).found
        if output == "table":
            _print_deliveries(found)
        if dry_run or not found:
            if output == "json":
                for delivery in found:
                    print_json(delivery.raw)
            return
        confirm(f"Have {len(found)} deliveries sent again?", yes=yes)
        refused: dict[str, str] = {}
        if delivery_ids:
            retried = tuple(client.retry_webhook_delivery(one) for one in delivery_ids)
        else:
            outcome = client.retry_failed_deliveries(since=since)
            retried, refused = outcome.retried, dict(outcome.refused)
    if output == "json":
        print_json({"retried": [one.id for one in retried], "refused": refused})
    else:
        click.echo(f"{len(retried)} are sent again.")
    if refused:
        raise Failure(f"{len(refused)} were refused", "`hiloop-receiver deliveries show ID` tells more", REFUSED)


@click.command(
    epilog="""\b
Examples:
  hiloop-receiver reconcile --since 6h
  hiloop-receiver reconcile --since 7d --dry-run
  hiloop-receiver reconcile --webhook 3f2b8c1e-…      where other endpoints get the same events"""
)
@agent_option
@webhook_option
@click.option("--since", type=Seconds(), default="6h", show_default=True, help="How far back.")
@click.option("--wait", type=Seconds(), default="60s", show_default=True, help="Wait so long for arrivals.")
@click.option("--budget", type=click.IntRange(1), default=1000, show_default=True, help="Ask for at most so many.")
@dry_run_option
@output_option
@explained
def reconcile(
    *, agent: str | None, webhooks: tuple[str, ...], since: float, wait: float, budget: int, dry_run: bool, output: str
) -> None:
    """Find what Hiloop sent and we lack, have it sent again, and wait until it has arrived.

    Run it as often as you like: what has arrived is not asked for again. Workers do the same every few minutes.
    """
    connection, layout = open_queue()
    with open_client(agent) as client:
        report = Reconciliation(client, connection, layout, webhooks=webhooks).run(
            since=timedelta(seconds=since), wait=wait, budget=budget, dry_run=dry_run
        )
    if output == "json":
        print_json(report.as_json())
    else:
        print_fields(_told(report, dry_run=dry_run))
    if report.webhooks > 1 and not webhooks:
        hint = f"These went to {report.webhooks} webhooks; if some lead elsewhere, name ours: --webhook ID"
        click.secho(f"{hint} (`hiloop-receiver deliveries show` tells it).", dim=True, err=True)
    if not dry_run and not report.complete:
        why = f"Hiloop stopped us ({report.stopped})" if report.stopped else "not everything has arrived"
        raise Failure(why, "run it again in a while; `hiloop-receiver deliveries list` shows the rest", FAILED)


def _told(report: Report, *, dry_run: bool) -> dict[str, Any]:
    return {
        "compared": f"{report.checked} events, {datetime.now(UTC):%H:%M:%S} UTC",
        "accepted before": report.known,
        "on their way": report.on_their_way or "",
        "missing": report.left if dry_run else report.asked + report.refused + report.left,
        "asked for again": "" if dry_run else report.asked,
        "arrived": "" if dry_run else report.arrived,
        "refused": report.refused or "",
        "not asked for": "" if dry_run else report.left or "",
    }


def _print_deliveries(found: list[WebhookDelivery] | tuple[WebhookDelivery, ...]) -> None:
    rows = [
        (
            one.id,
            one.status,
            one.event_type,
            one.event_id,
            one.attempts,
            one.last_status_code or one.last_error,
            ago(one.created_at),
            ago(one.next_retry_at),
        )
        for one in found
    ]
    columns = ("id", "status", "type", "event", "tries", "last answer", "created", "next try")
    print_rows(columns, rows, spare=("event", "type", "next try", "tries", "created"))
