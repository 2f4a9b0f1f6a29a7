"""The commands `sign` and `verify`: a file against a webhook secret."""

from __future__ import annotations

import os
from typing import BinaryIO

import click

from receiver.exits import FAILED, Failure
from receiver.signature import sign as make_signature
from receiver.signature import verify_signature
from workers.commands.edge import output_option
from workers.commands.output import print_json

_secret_option = click.option(
    "--secret-env",
    default="HILOOP_WEBHOOK_SECRET",
    show_default=True,
    metavar="NAME",
    help="The environment variable that holds the secret (several: separated by commas).",
)


@click.command(
    epilog="""\b
Example:
  hiloop-receiver sign event.json
  curl -d @event.json -H "X-Hiloop-Signature: $(hiloop-receiver sign event.json)" …"""
)
@click.argument("file", type=click.File("rb"))
@_secret_option
@output_option
def sign(*, file: BinaryIO, secret_env: str, output: str) -> None:
    """Print the X-Hiloop-Signature of a FILE (- reads standard input), made with the first secret."""
    signature = make_signature(_secrets(secret_env)[0], file.read())
    if output == "json":
        print_json({"signature": signature})
    else:
        click.echo(signature)


@click.command(
    epilog="""\b
Example:
  hiloop-receiver verify event.json --signature sha256=…"""
)
@click.argument("file", type=click.File("rb"))
@click.option("--signature", required=True, help="The value of X-Hiloop-Signature.")
@_secret_option
@output_option
def verify(*, file: BinaryIO, signature: str, secret_env: str, output: str) -> None:
    """Check the signature of a FILE (- reads standard input) against all secrets."""
    secrets = _secrets(secret_env)
    matched = verify_signature(secrets, file.read(), os.fsencode(signature))
    if output == "json":
        print_json({"valid": matched is not None})
    elif matched is not None:
        click.echo("The signature is right.")
    if matched is None:
        raise Failure(
            "no secret verifies the signature", "sign the raw bytes, unchanged: a newline at the end counts", FAILED
        )


def _secrets(variable: str) -> list[bytes]:
    secrets = [part.strip().encode() for part in os.environ.get(variable, "").split(",") if part.strip()]
    if not secrets:
        raise click.UsageError(f"{variable} is not set; it holds the webhook's secret.")
    return secrets
