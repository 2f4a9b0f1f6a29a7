"""The command group `keys`: which keys open answers, and new ones."""

from __future__ import annotations

import base64
import os
import secrets

import click

from receiver.client.caller import check_api_key
from receiver.exits import NOT_FOUND, Failure
from receiver.keyring import KEY_BYTES, KeyPair
from receiver.settings import WorkerSettings
from workers.commands.edge import explained, output_option
from workers.commands.output import print_fields, print_json, print_rows
from workers.run import keyring_of


@click.group(
    epilog="""\b
Examples:
  hiloop-receiver keys show
  hiloop-receiver keys new          then put it first in HILOOP_AGENT_KEYS"""
)
def keys() -> None:
    """The agent's keys, with which answers are opened."""


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


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
