"""The command group `keys`: which keys open answers, new ones, and whose may decide."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import sys

import click

from receiver.client import HiloopClient
from receiver.client.caller import check_api_key
from receiver.exits import FAILED, NOT_FOUND, Failure
from receiver.keyring import KEY_BYTES, KeyPair
from receiver.senders import ANYBODY, MAX_NAME_CHARS, TrustedSender, TrustedSenders, fingerprint
from receiver.settings import Environment, WorkerSettings
from workers.commands.edge import agent_option, explained, open_client, output_option, yes_option
from workers.commands.output import print_fields, print_json, print_rows
from workers.run import keyring_of


@click.group(
    epilog="""\b
Examples:
  hiloop-receiver keys show
  hiloop-receiver keys new          then put it first in HILOOP_AGENT_KEYS
  hiloop-receiver keys trust        then put what it prints into HILOOP_TRUSTED_SENDERS"""
)
def keys() -> None:
    """The agent's keys, with which answers are opened, and those of the humans who may decide."""


@keys.command(
    epilog="""\b
Example:
  hiloop-receiver keys show"""
)
@output_option
@explained
def show(*, output: str) -> None:
    """Show the ids and public keys of all keys a worker would use; private ones are never shown."""
    api_key = os.environ.get("HILOOP_API_KEY", "")
    own = tuple(part.strip() for part in os.environ.get("HILOOP_AGENT_KEYS", "").split(",") if part.strip())
    if not api_key and not own:
        raise Failure("no key is set", "set HILOOP_API_KEY, or HILOOP_AGENT_KEYS", NOT_FOUND)
    settings = WorkerSettings(api_key=check_api_key(api_key) if api_key else "", agent_keys=own)
    rows = []
    for number, pair in enumerate(keyring_of(settings)):
        source = "HILOOP_AGENT_KEYS" if number < len(own) else "derived from HILOOP_API_KEY"
        rows.append((pair.key_id, "seals and opens" if number == 0 else "opens", source, _text(pair.public_key)))
    if output == "json":
        for key_id, use, source, public in rows:
            print_json({"key_id": key_id, "use": use, "source": source, "public_key": public})
        return
    print_rows(("key id", "use", "source", "public key"), rows)


@keys.command(
    epilog="""\b
Example:
  hiloop-receiver keys new --output json | jq -r .private_key"""
)
@output_option
def new(*, output: str) -> None:
    """Make a new private key and print it: a secret, for HILOOP_AGENT_KEYS. It is stored nowhere."""
    private = secrets.token_bytes(KEY_BYTES)
    pair = KeyPair.from_private(private)
    shown = {"key_id": pair.key_id, "public_key": _text(pair.public_key), "private_key": _text(private)}
    if output == "json":
        print_json(shown)
    else:
        print_fields({name.replace("_", " "): value for name, value in shown.items()})


@keys.command(
    epilog="""\b
Example:
  hiloop-receiver keys trust --agent deploy-bot"""
)
@click.argument("session", required=False)
@agent_option
@yes_option
@output_option
@explained
def trust(*, session: str | None, agent: str | None, yes: bool, output: str) -> None:
    """Trust the humans of a SESSION (by default the latest): prints the setting HILOOP_TRUSTED_SENDERS.

    The platform names the keys. So ask each person, by another way than Hiloop, for the fingerprint that their own
    page shows, and compare. --yes asks nothing and trusts the platform's word.
    """
    environment = Environment(os.environ)
    known = environment.get("HILOOP_TRUSTED_SENDERS", ANYBODY, TrustedSenders.parse)
    environment.done()
    with open_client(agent) as client:
        chosen = session or _latest_session(client)
        people = [person for person in client.list_participants(chosen) if person.type != "Agent"]
    offered = {
        key.key_id: TrustedSender(key.key_id, _safe_name(person.name), key.public_key)
        for person in people
        for key in person.keys
        if known.find(key.key_id, key.public_key) is None
    }
    if not offered and not len(known):
        raise Failure(
            "nobody in this session has a key", "name another session, or let its humans open their page", NOT_FOUND
        )
    added = [sender for sender in offered.values() if yes or _has_compared(sender)]
    if not added and not len(known):
        raise Failure("nobody is trusted", "compare again, or call them and ask which device they use", FAILED)
    senders = TrustedSenders([*known, *added])
    setting = ", ".join(sender.entry for sender in senders)
    if output == "json":
        rows = [
            {"name": one.name, "key_id": one.key_id, "fingerprint": fingerprint(one.key_id), "new": one in added}
            for one in senders
        ]
        print_json({"HILOOP_TRUSTED_SENDERS": setting, "senders": rows})
    else:
        click.echo(f"export HILOOP_TRUSTED_SENDERS={shlex.quote(setting)}")
    if not os.environ.get("HILOOP_AGENT_KEYS"):
        click.secho(
            "  hint: the platform can derive the agent's key from the API key and answer in these names; "
            "put one that `hiloop-receiver keys new` makes into HILOOP_AGENT_KEYS",
            dim=True,
            err=True,
        )


def _latest_session(client: HiloopClient) -> str:
    latest = max(client.list_sessions().items, key=lambda one: one.created_at, default=None)
    if latest is None:
        raise Failure("this agent has no session", "ask a human something first, or name an agent that has", NOT_FOUND)
    return latest.id


def _safe_name(name: str | None) -> str:
    """A name as the platform tells it, without what would not be read back as one."""
    shown = "".join(char for char in name or "" if char.isprintable() and char != ",").strip()
    return shown[:MAX_NAME_CHARS].strip()


def _has_compared(sender: TrustedSender) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to compare; add --yes to take the platform's word.")
    click.echo(f"\n{sender}\n  {fingerprint(sender.key_id)}", err=True)
    return click.confirm("Does this person's own page show the same?", err=True)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
