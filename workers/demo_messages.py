"""What the agents of the demo ask: the examples of Hiloop's SDK page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from receiver.client import (
    button,
    button_group,
    checkbox,
    kv,
    metric,
    metric_grid,
    qa,
    radio,
    tab,
    table,
    tabs,
    text,
    textarea,
)
from receiver.sandbox.rules import Rule

_AFTER: Final = 0.3  # seconds that a human who answers by himself thinks


@dataclass(frozen=True, slots=True)
class Example:
    """One message of an agent, and what a human who answers by himself does with it."""

    agent: str
    title: str
    components: Sequence[Any]
    priority: str = "normal"
    to_do: str = ""
    rules: Sequence[Rule] = field(default=())


EXAMPLES: Final = (
    Example(
        agent="deploy-bot",
        title="Deploy v2.4.1 to production?",
        priority="critical",
        components=[
            text("Ready to deploy."),
            kv({"Service": "api-gateway", "Version": "2.4.1", "Changes": "12 features, 34 fixes", "Author": "ci-bot"}),
            button_group(button("Approve", "approve", "primary"), button("Reject", "reject", "danger")),
        ],
        to_do="click Approve or Reject",
        rules=[Rule(agent="deploy-bot", answer="approve", after=_AFTER)],
    ),
    Example(
        agent="triage-bot",
        title="Describe the incident",
        priority="high",
        components=[
            qa(
                radio("severity", "Severity?", ["Critical", "High", "Medium", "Low"]),
                checkbox("affected", "Affected systems", ["API", "Dashboard", "Mobile", "Database"]),
                textarea("details", "Description"),
            )
        ],
        to_do="fill in the form",
        rules=[
            Rule(
                agent="triage-bot",
                form={"severity": "High", "affected": ["API", "Database"], "details": "Logins time out."},
                after=_AFTER,
            )
        ],
    ),
    Example(
        agent="report-bot",
        title="Weekly numbers",
        components=[
            metric_grid(
                metric("Revenue", "$4.87M", change="+14%"),
                metric("New MRR", "$312K", change="+8%"),
                metric("Churn", "1.2%", change="-0.3%"),
            ),
            table(
                ["Region", "Revenue", "Growth"],
                [
                    ["North America", "$2.1M", "+18%"],
                    ["Europe", "$1.8M", "+12%"],
                    ["Asia Pacific", "$970K", "+9%"],
                ],
            ),
        ],
        to_do="read it, and write something if you like",
    ),
    Example(
        agent="status-bot",
        title="Status of the platform",
        priority="low",
        components=[
            tabs(
                tab("Overview", metric_grid(metric("Uptime", "99.97%"), metric("Latency", "45ms"))),
                tab("Endpoints", table(["Endpoint", "P50", "P99"], [["/v1/users", "12ms", "48ms"]])),
            )
        ],
        to_do="look through its tabs",
    ),
)
