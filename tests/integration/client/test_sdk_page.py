"""Every snippet of Hiloop's Python SDK page, extracted from a copy of the page, runs against the sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.client import HiloopClient
from receiver.sandbox.harness import LocalHiloop

API_KEY = "hlp_" + "5e" * 32
PAGE = Path(__file__).parents[2] / "vectors" / "hiloop-python-sdk.txt"

HEADINGS = [
    "Quick start", "Approval flow", "Data report", "Form input", "Tabbed dashboard", "Reading the timeline",
    "Webhooks", "Error handling",
]  # fmt: skip
# All that is changed: the name of the package, the key (which is none), the delivery (which is none), and rows.
CHANGES = {
    "from hiloop import": "from receiver.client import",
    "hlp_xxx": API_KEY,
    "dlv_xxx": "{failed_delivery}",
    "[...]": "[['/deploy', '12ms', '40ms']]",
}


def snippets() -> dict[str, str]:
    """The code under each heading. The copy has lost the page's indentation, which `indented` gives back."""
    text = PAGE.read_text(encoding="utf-8")
    found = {}
    for heading, following in zip(HEADINGS, [*HEADINGS[1:], None], strict=True):
        section = re.split(rf"(?:^| ){heading}$", text, maxsplit=1, flags=re.MULTILINE)[1]
        if following:
            section = re.split(rf"(?:^| ){following}$", section, maxsplit=1, flags=re.MULTILINE)[0]
        code = re.search(r"^(from hiloop|client\.|\w+ = client\.).*", section, re.MULTILINE | re.DOTALL)
        assert code, heading
        found[heading] = indented(re.split(r"^Webhooks include|(?<=\)) Examples$", code[0], flags=re.MULTILINE)[0])
    return found


def indented(code: str) -> str:
    """Indents what stands in brackets or under a colon: a `for` reaches to the end, others over one statement."""
    lines, brackets, loops, under = [], 0, 0, 0
    for line in code.strip().splitlines():
        lines.append("    " * (brackets or loops + under) + line)
        brackets += sum(line.count(one) for one in "([{") - sum(line.count(one) for one in ")]}")
        if brackets == 0:
            loops += line.startswith("for ")
            under = int(line.endswith(":") and not line.startswith("for "))
    return "\n".join(lines)


@pytest.fixture
def sandbox() -> Iterator[LocalHiloop]:
    """A sandbox whose human approves everything, and whose one webhook leads nowhere."""
    nowhere = "http://127.0.0.1:9/webhooks/hiloop"
    with LocalHiloop(api_key=API_KEY, speed=1_000_000.0, auto="approve", webhook_url=nowhere) as hiloop:
        yield hiloop


def test_page_holds_the_snippets_we_think() -> None:
    assert [len(re.findall(r"client\.\w+\(", code)) for code in snippets().values()] == [3, 3, 1, 1, 1, 1, 3, 1]
    for code in snippets().values():
        compile(code, "<page>", "exec")


@pytest.mark.parametrize("heading", HEADINGS)
def test_snippet_runs_as_written(
    heading: str, sandbox: LocalHiloop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HILOOP_BASE_URL", sandbox.url)
    monkeypatch.delenv("HILOOP_AGENT_KEYS", raising=False)
    deployed: list[bool] = []
    with HiloopClient(API_KEY, "deploy-bot") as client:
        session = client.create_session("The snippets before this one")
        client.ask("Deploy?", [{"type": "button_group", "data": {"buttons": [{"label": "A", "action": "approve"}]}}])
        failed = next(each for each in sandbox.admin.wait_until_settled() if each["status"] == "Failed")
        client.send_message(session.id, "Hello")
        names: dict[str, Any] = {"client": client, "session": session, "deploy": lambda: deployed.append(True)}
        code = snippets()[heading]
        for old, new in CHANGES.items():
            code = code.replace(old, new.format(failed_delivery=failed["id"]))
        exec(compile(code, f"<{heading}>", "exec"), names)  # noqa: S102  # the page's own code is what is tested
        made = names["client"]
        EXPECTED[heading](names, capsys.readouterr().out, deployed)
        if made is not client:
            made.close()


def _quick_start(names: dict[str, Any], printed: str, _deployed: list[bool]) -> None:
    assert printed == "Decision: approve\n"
    assert names["session"].title == "Deploy v2.4.1?"


def _approval(names: dict[str, Any], _printed: str, deployed: list[bool]) -> None:
    assert names["result"].response == "approve"
    assert deployed == [True]


def _sent(*types: str) -> Any:
    def check(names: dict[str, Any], _printed: str, _deployed: list[bool]) -> None:
        items = names["client"].get_timeline(names["session"].id).items
        sent = [item.components for item in items if item.kind == "message"][-1]
        assert [component["type"] for component in sent] == list(types)

    return check


def _timeline(_names: dict[str, Any], printed: str, _deployed: list[bool]) -> None:
    assert printed == "[Agent] Hello\n"


def _deliveries(names: dict[str, Any], _printed: str, _deployed: list[bool]) -> None:
    assert names["deliveries"].items
    assert names["stats"].total == len(names["deliveries"].items)


def _error(names: dict[str, Any], printed: str, _deployed: list[bool]) -> None:
    assert printed == ""
    assert names["session"].title == "Deploy?"


EXPECTED = {
    "Quick start": _quick_start,
    "Approval flow": _approval,
    "Data report": _sent("metric_grid", "table"),
    "Form input": _sent("qa"),
    "Tabbed dashboard": _sent("tabs"),
    "Reading the timeline": _timeline,
    "Webhooks": _deliveries,
    "Error handling": _error,
}
