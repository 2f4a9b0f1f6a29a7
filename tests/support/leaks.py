"""Search bytes for secrets: as they are, in hexadecimal digits, in base64 at any place, as Python shows them."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import redis


def forms(secret: bytes) -> dict[str, bytes]:
    """All forms in which ``secret`` is looked for. In base64, three bytes become four characters: so three alignments,
    each without the characters that depend on what stands around it.
    """
    found = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "repr": repr(secret)[2:-1].encode(),
    }
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        inner = encoded[-(-before * 4 // 3) : len(encoded) - (4 if (before + len(secret)) % 3 else 0)]
        found[f"base64, {before} before"] = inner
        found[f"base64 for URLs, {before} before"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(places: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Where which secret shows in which form; empty if nowhere."""
    wanted = {(name, form): needle for name, secret in secrets.items() for form, needle in forms(secret).items()}
    assert all(len(needle) >= 8 for needle in wanted.values())
    return [
        f"{name} in {place} ({form})"
        for place, content in places.items()
        for (name, form), needle in wanted.items()
        if needle in content
    ]


def dump(client: redis.Redis) -> dict[str, bytes]:
    """All that a server holds: every key with its serialised value. The server must not compress them."""
    return {f"Redis key {key!r}": key + b"\n" + (client.dump(key) or b"") for key in client.scan_iter(count=1000)}
