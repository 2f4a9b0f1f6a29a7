"""The secrets of a sandbox on this machine: the human's private key and the agents' API key, in one file.

The server never reads it. `sandbox` makes it, and `trigger` plays the same human with it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from receiver.errors import ConfigurationError
from receiver.keyring import API_KEY, KEY_BYTES, KeyPair
from receiver.sandbox.harness import new_api_key
from receiver.sandbox.state import write_private

FILE_NAME: Final = "sandbox-identity.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who plays on this machine."""

    human: KeyPair
    api_key: str = field(repr=False)


def default_path(state_file: Path | None = None) -> Path:
    """Where the identity is kept: beside ``state_file``, else in the user's state folder (XDG base directories)."""
    if state_file is not None:
        return state_file.absolute().parent / FILE_NAME
    state_home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state_home) / "hiloop-receiver" / FILE_NAME


def load(path: Path) -> Identity:
    """Read the identity. Raises `FileNotFoundError`, and `ConfigurationError` for a file that is something else."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        api_key = stored["apiKey"]
        if API_KEY.fullmatch(api_key):
            return Identity(KeyPair.from_base64(stored["humanPrivateKey"]), api_key)
    except (ValueError, KeyError, TypeError):
        pass  # said below: the parser's own text may quote the file
    raise ConfigurationError([f"{path}: is no identity of a sandbox; move it away, and the sandbox makes a new one"])


def load_or_make(path: Path) -> Identity:
    """Read the identity, or make one and keep it, readable for its owner only."""
    try:
        return load(path)
    except FileNotFoundError:
        identity = Identity(KeyPair.from_private(secrets.token_bytes(KEY_BYTES)), new_api_key())
    private_key = base64.b64encode(identity.human.private_key).decode()
    write_private(path, json.dumps({"humanPrivateKey": private_key, "apiKey": identity.api_key}))
    return identity
