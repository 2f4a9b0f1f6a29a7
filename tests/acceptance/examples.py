"""The messages of the SDK page, as they stand there, and one of each further component."""

from __future__ import annotations

from typing import Any

Component = dict[str, Any]

BUTTONS: Component = {
    "type": "button_group",
    "data": {
        "buttons": [
            {"label": "Approve", "action": "approve", "variant": "primary"},
            {"label": "Reject", "action": "reject", "variant": "danger"},
        ]
    },
}
QUICK_START: list[Component] = [{"type": "text", "data": {"content": "Ready to deploy."}}, BUTTONS]
APPROVAL: list[Component] = [
    {
        "type": "kv",
        "data": {
            "entries": [
                {"key": "Service", "value": "api-gateway"},
                {"key": "Version", "value": "2.4.1"},
                {"key": "Changes", "value": "12 features, 34 fixes"},
                {"key": "Author", "value": "ci-bot"},
            ]
        },
    },
    BUTTONS,
]
REPORT: list[Component] = [
    {
        "type": "metric_grid",
        "data": {
            "metrics": [
                {"label": "Revenue", "value": "$4.87M", "change": "+14%"},
                {"label": "New MRR", "value": "$312K", "change": "+8%"},
                {"label": "Churn", "value": "1.2%", "change": "-0.3%"},
            ]
        },
    },
    {
        "type": "table",
        "data": {
            "headers": ["Region", "Revenue", "Growth"],
            "rows": [
                ["North America", "$2.1M", "+18%"],
                ["Europe", "$1.8M", "+12%"],
                ["Asia Pacific", "$970K", "+9%"],
            ],
        },
    },
]
FORM: Component = {
    "type": "qa",
    "data": {
        "questions": [
            {
                "id": "severity",
                "label": "Severity?",
                "type": "radio",
                "options": ["Critical", "High", "Medium", "Low"],
            },
            {
                "id": "affected",
                "label": "Affected systems",
                "type": "checkbox",
                "options": ["API", "Dashboard", "Mobile", "Database"],
            },
            {"id": "details", "label": "Description", "type": "textarea"},
        ]
    },
}
TABS: Component = {
    "type": "tabs",
    "children": [
        {
            "type": "tab",
            "data": {"label": "Overview"},
            "children": [
                {
                    "type": "metric_grid",
                    "data": {
                        "metrics": [
                            {"label": "Uptime", "value": "99.97%"},
                            {"label": "Latency", "value": "45ms"},
                        ]
                    },
                }
            ],
        },
        {
            "type": "tab",
            "data": {"label": "Endpoints"},
            "children": [
                {
                    "type": "table",
                    "data": {
                        "headers": ["Endpoint", "P50", "P99"],
                        "rows": [["/v1/users", "12ms", "48ms"], ["/v1/orders", "31ms", "140ms"]],
                    },
                }
            ],
        },
    ],
}


def chart(kind: str, **series: list[float | None]) -> Component:
    """A chart over the four quarters of a year; `series` are its lines by name."""
    drawn = [{"name": name, "values": values} for name, values in series.items()]
    labels = ["Q1", "Q2", "Q3", "Q4"]
    return {
        "type": "chart",
        "data": {"type": kind, "title": f"Revenue, {kind}", "labels": labels, "series": drawn},
    }
