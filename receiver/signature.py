"""Sign and verify webhook requests: `Authorization: Bearer` and `X-Hiloop-Signature`. Pure.

HMAC-SHA256 after RFC 2104 and FIPS 198-1, over the raw bytes of the body. Every comparison takes the same
time whichever secret matches, and none stops early.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

SIGNATURE_PREFIX = b"sha256="


def sign(secret: bytes, body: bytes) -> str:
    """Return the value of `X-Hiloop-Signature` for ``body``: ``sha256=`` and 64 lower-case hex digits."""
    return "sha256=" + hmac.digest(secret, body, "sha256").hex()


def verify_signature(secrets: Sequence[bytes], body: bytes, header: bytes) -> int | None:
    """Return which of ``secrets`` signed ``body`` as ``header`` claims (its index), or None.

    ``header`` is the raw value of the only `X-Hiloop-Signature` header. Anything but the exact form that
    `sign` returns is refused: upper-case digits, a truncated tag, spaces.
    """
    found = None
    for index, secret in enumerate(secrets):
        expected = SIGNATURE_PREFIX + hmac.digest(secret, body, "sha256").hex().encode()
        if hmac.compare_digest(expected, header):
            found = index
    return found


def verify_bearer(tokens: Sequence[bytes], header: bytes) -> int | None:
    """Return which of ``tokens`` the raw `Authorization` header carries (its index), or None.

    The scheme is accepted in any case (RFC 9110, section 11.1), the token exactly. Digests are compared, so that
    the time taken tells nothing about a token's length.
    """
    scheme, _, token = header.partition(b" ")
    given = hashlib.sha256(token).digest()
    found = None
    for index, expected in enumerate(tokens):
        if hmac.compare_digest(hashlib.sha256(expected).digest(), given):
            found = index
    return found if scheme.lower() == b"bearer" and token else None
