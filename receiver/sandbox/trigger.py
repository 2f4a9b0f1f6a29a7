"""The command group `trigger`: play the human of a running sandbox from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from receiver.exits import NOT_FOUND, Failure
from receiver.sandbox import identity, options
from receiver.sandbox.admin import Admin
from receiver.sandbox.failures import explained
from receiver.sandbox.faults import Fault
from receiver.sandbox.human import Human, HumanMessage

DEFAULT_PORT: Final = 8787
DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"


@dataclass(frozen=True, slots=True)
class Target:
    """The sandbox that is played with, and how results are printed."""

    url: str
    identity_file: Path
    output: str

    def human(self) -> Human:
        """The human of the sandbox, with the key that `sandbox` has made."""
        try:
            who = identity.load(self.identity_file)
        except FileNotFoundError:
            hint = "start `hiloop-receiver sandbox` first; if it runs with --state, give the same --state here"
            raise Failure(f"there is no {self.identity_file}", hint, NOT_FOUND) from None
        human = Human(self.url, who.human)
        click.get_current_context().call_on_close(human.close)
        return human

    def admin(self) -> Admin:
        """The admin of the sandbox."""
        admin = Admin(self.url)
        click.get_current_context().call_on_close(admin.close)
        return admin

    def report(self, sentence: str, **facts: Any) -> None:
        """Print what was done."""
        if self.output == "json":
            click.echo(json.dumps(facts))
        else:
            click.echo(f"{click.style('✓', fg='green')} {sentence}")


@click.group(
    epilog="""\b
Examples:
  hiloop-receiver trigger response --action approve --wait 30s
  hiloop-receiver trigger form --answer severity=High
  hiloop-receiver trigger message 'Why now?'
  hiloop-receiver trigger --url http://127.0.0.1:9000 webhook.test"""
)
@click.option("--url", envvar="HILOOP_SANDBOX_URL", default=DEFAULT_URL, show_default=True, help="The sandbox.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The --state the sandbox was started with.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def trigger(context: click.Context, url: str, state: Path | None, output: str) -> None:
    """Play the human of a running sandbox: answer, fill in, write, close."""
    context.obj = Target(url, identity.default_path(state), output)


Command = Callable[..., None]


def _session_option(command: Command) -> Command:
    return click.option("--session", metavar="ID", help="The session; by default the most urgent one.")(command)


def _webhook_option(command: Command) -> Command:
    option = click.option("--webhook", "webhook_id", metavar="ID", help="The webhook; by default all.")
    return option(command)


def _answering(command: Command) -> Command:
    wait = click.option("--wait", default="0s", callback=options.seconds, help="Wait so long for a message to answer.")
    message = click.option("--message", "message_id", metavar="ID", help="The message; by default the latest.")
    return _session_option(message(wait(command)))


@trigger.command(
    epilog="""\b
Example:
  hiloop-receiver trigger response --action approve --wait 30s"""
)
@click.option("--action", required=True, help="The action of the button, such as approve.")
@_answering
@click.pass_obj
@explained
def response(target: Target, action: str, session: str | None, message_id: str | None, wait: float) -> None:
    """Press a button of the message that waits for an answer."""
    human = target.human()
    message = _chosen(human, session, message_id, wait)
    human.answer(action, message=message)
    target.report(
        f"answered {action!r} in session {message.session_id}",
        sessionId=message.session_id,
        messageId=message.id,
    )


@trigger.command(
    epilog="""\b
Example:
  hiloop-receiver trigger form --answer severity=High --answer systems=api --answer systems=web"""
)
@click.option("--answer", "answers", multiple=True, required=True, metavar="QUESTION=ANSWER", help="Repeatable.")
@_answering
@click.pass_obj
@explained
def form(target: Target, answers: tuple[str, ...], session: str | None, message_id: str | None, wait: float) -> None:
    """Fill in and send the form of the message that waits for an answer."""
    given = _by_question(answers)
    human = target.human()
    message = _chosen(human, session, message_id, wait)
    human.answer_form(given, message=message)
    target.report(f"sent the form in session {message.session_id}", sessionId=message.session_id, messageId=message.id)


@trigger.command(
    epilog="""\b
Example:
  hiloop-receiver trigger message 'Why now?'"""
)
@click.argument("text")
@_session_option
@click.pass_obj
@explained
def message(target: Target, text: str, session: str | None) -> None:
    """Write TEXT to the agent."""
    session_id = target.human().say(text, session)
    target.report(f"wrote in session {session_id}", sessionId=session_id)


@trigger.command(
    "session.closed",
    epilog="""\b
Example:
  hiloop-receiver trigger session.closed""",
)
@_session_option
@click.pass_obj
@explained
def session_closed(target: Target, session: str | None) -> None:
    """Close a session as the human."""
    session_id = target.human().close_session(session)
    target.report(f"closed session {session_id}", sessionId=session_id)


@trigger.command(
    "webhook.test",
    epilog="""\b
Example:
  hiloop-receiver trigger webhook.test""",
)
@_webhook_option
@click.pass_obj
@explained
def webhook_test(target: Target, webhook_id: str | None) -> None:
    """Send a test event to the webhooks."""
    admin = target.admin()
    deliveries = [admin.test_webhook(each)["id"] for each in _webhooks(admin, webhook_id)]
    target.report(f"sent {len(deliveries)} test event(s): {', '.join(deliveries)}", deliveryIds=deliveries)


@trigger.command(
    "webhook.faults",
    epilog="""\b
Example:
  hiloop-receiver trigger webhook.faults dropx2 delay:2s@10%""",
)
@click.argument("faults", nargs=-1, metavar="[FAULT]...", callback=options.faults)
@_webhook_option
@click.pass_obj
@explained
def webhook_faults(target: Target, faults: list[Fault], webhook_id: str | None) -> None:
    """Say what goes wrong with the webhooks from now on, such as dropx2; without a FAULT they heal."""
    admin = target.admin()
    webhooks = _webhooks(admin, webhook_id)
    for each in webhooks:
        admin.set_faults(each, *faults)
    kinds = [fault.kind for fault in faults]
    target.report(
        f"{', '.join(kinds) or 'nothing'} goes wrong with {len(webhooks)} webhook(s)", webhookIds=webhooks, faults=kinds
    )


def _webhooks(admin: Admin, webhook_id: str | None) -> list[str]:
    webhooks = [webhook_id] if webhook_id else [each["id"] for each in admin.webhooks()]
    if not webhooks:
        raise Failure("there are no webhooks", "start the sandbox with --webhook URL", NOT_FOUND)
    return webhooks


def _chosen(human: Human, session_id: str | None, message_id: str | None, wait: float) -> HumanMessage:
    def find() -> HumanMessage | None:
        if message_id is None:
            return human.asking(session_id)
        return next((each for each in human.messages(session_id) if each.id == message_id), None)

    otherwise = "no message asks for an answer" if message_id is None else "there is no such message"
    return human.wait_until(find, otherwise, timeout=wait)


def _by_question(answers: tuple[str, ...]) -> dict[str, Any]:
    """``("a=1", "a=2", "b=3")`` → ``{"a": ["1", "2"], "b": "3"}``."""
    found: dict[str, list[str]] = {}
    for each in answers:
        question, equals, answer = each.partition("=")
        if not equals or not question:
            raise click.BadParameter("an answer is QUESTION=ANSWER, such as severity=High")
        found.setdefault(question, []).append(answer)
    return {question: given if len(given) > 1 else given[0] for question, given in found.items()}
