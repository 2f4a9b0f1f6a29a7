"""Every exception of this project, in one tree.

    ReceiverError
    ├── ConfigurationError       settings that cannot work; lists every problem with its mend
    ├── LocalServerError         no Valkey or Redis server could be started on this machine
    ├── RequestError             a webhook request that is answered with an error
    │   ├── InvalidEvent         400
    │   ├── Unauthorized         401
    │   ├── MethodNotAllowed     405
    │   ├── RequestTimeout       408
    │   ├── PayloadTooLarge      413
    │   ├── UnsupportedMediaType 415
    │   ├── StaleEvent           422
    │   ├── TooManyRefusals      429
    │   ├── HeadersTooLarge      431
    │   ├── TooManyConnections   503
    │   ├── TooManyRequests      503
    │   ├── TooManyPending       503
    │   └── QueueUnavailable     503
    ├── OpenError                an encrypted field that does not open
    │   ├── UnknownKey
    │   ├── BadEnvelope
    │   └── BadCiphertext
    ├── Unverifiable             a queued event whose signature no secret of this worker verifies
    ├── UntrustedSender          an event whose content no trusted sender has sealed
    ├── ReplayedAnswer           an answer that another event has brought before
    ├── OrderError               what the dashboard wants workers to do, and cannot be
    │   ├── InvalidOrder         not of the shape that orders have
    │   └── TooManyOrders        too many wait already
    ├── HandlerControl           what a handler raises to say how to go on
    │   ├── RetryLater
    │   └── Discard
    └── HiloopError              a call of Hiloop's API that failed, or was refused before it was sent
        ├── AuthenticationFailed 401, 403, and keys that cannot be right
        ├── NotFound             404
        ├── ValidationFailed     400, 413, 422, and arguments that cannot be right
        ├── RateLimited          429
        ├── ConnectionFailed     the API was not reached, or broke off
        ├── TimedOut             408, and calls that took too long
        └── MalformedAnswer      the API answered with something that is no answer

No message of these errors contains a secret or a plaintext: they go to logs and, as their names, to Redis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Headers = tuple[tuple[bytes, bytes], ...]
# What follows on the connection cannot be told from the rest of the refused request.
_CLOSE: Headers = ((b"connection", b"close"),)


class ReceiverError(Exception):
    """Base of all errors of this project."""


class ConfigurationError(ReceiverError):
    """Settings that cannot work.

    ``problems`` holds one line for each wrong setting: its name, what is wrong, and how to mend it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        noun = "setting is" if len(self.problems) == 1 else "settings are"
        super().__init__("\n".join([f"{len(self.problems)} {noun} wrong:", *(f"  - {line}" for line in self.problems)]))


class LocalServerError(ReceiverError):
    """No Valkey or Redis server could be started on this machine."""


class RequestError(ReceiverError):
    """A webhook request that is refused; knows the HTTP status, the code and the headers it is answered with.

    ``is_suspect``: whether nothing has shown yet that the platform sent it, so that it counts against its sender.
    """

    status = 400
    code = "bad_request"
    headers: Headers = ()
    is_suspect = True

    @property
    def reason(self) -> str:
        """What it is counted as; never told to the sender."""
        return self.code


class InvalidEvent(RequestError):
    """The body is no event: not a strict JSON object, or its id is outside the alphabet."""

    status = 400
    code = "invalid_event"
    is_suspect = False


class Unauthorized(RequestError):
    """Bearer token or signature is missing, malformed or wrong; the sender is deliberately not told which.

    Those who run the receiver are: ``reason`` is one of `reasons`.
    """

    status = 401
    code = "unauthorized"
    headers = ((b"www-authenticate", b"Bearer"),)
    reasons = ("bad_token", "bad_signature")

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self._reason = reason

    @property
    def reason(self) -> str:
        """See `RequestError.reason`."""
        return self._reason


class MethodNotAllowed(RequestError):
    """Webhooks are sent with POST."""

    status = 405
    code = "method_not_allowed"
    headers = ((b"allow", b"POST"),)


class RequestTimeout(RequestError):
    """The headers or the body did not arrive in time."""

    status = 408
    code = "request_timeout"
    headers = _CLOSE


class PayloadTooLarge(RequestError):
    """The body is larger than the limit."""

    status = 413
    code = "payload_too_large"
    headers = _CLOSE


class UnsupportedMediaType(RequestError):
    """The body is not JSON by its content type, or is compressed."""

    status = 415
    code = "unsupported_media_type"


class StaleEvent(RequestError):
    """The event is older than the deduplication window: it could be a replay nobody can recognise any more."""

    status = 422
    code = "stale_event"
    is_suspect = False


class TooManyRefusals(RequestError):
    """So many requests of this sender were refused that none of its requests is looked at for a while."""

    status = 429
    code = "too_many_refusals"
    is_suspect = False

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.headers = ((b"retry-after", b"%d" % math.ceil(retry_after)), *_CLOSE)


class HeadersTooLarge(RequestError):
    """The request line and the headers are larger than the limit."""

    status = 431
    code = "headers_too_large"
    headers = _CLOSE


class TooManyConnections(RequestError):
    """All connections that are allowed at once are in use."""

    status = 503
    code = "too_many_connections"
    headers = ((b"retry-after", b"5"), *_CLOSE)
    is_suspect = False


class TooManyRequests(RequestError):
    """All requests that are allowed at once are being answered."""

    status = 503
    code = "too_many_requests"
    headers = ((b"retry-after", b"5"), *_CLOSE)
    is_suspect = False


class TooManyPending(RequestError):
    """So many events wait for a worker that no more are taken."""

    status = 503
    code = "too_many_pending"
    headers = ((b"retry-after", b"30"),)
    is_suspect = False


class QueueUnavailable(RequestError):
    """Redis cannot take the event now; the sender is to try again."""

    status = 503
    code = "queue_unavailable"
    headers = ((b"retry-after", b"5"),)
    is_suspect = False


class OpenError(ReceiverError):
    """An encrypted field that does not open; ``reason`` is the name used in dead letters and filters."""

    reason = "open_error"


class UnknownKey(OpenError):
    """No wrapping of the envelope is for a key of this keyring."""

    reason = "unknown_key"


class BadEnvelope(OpenError):
    """The envelope has the wrong shape, encoding or lengths, or its sender id and key differ."""

    reason = "bad_envelope"


class BadCiphertext(OpenError):
    """Authentication failed: damaged, tampered with, or sealed for another session or field."""

    reason = "bad_ciphertext"


class Unverifiable(ReceiverError):
    """A queued event whose signature no secret of this worker verifies: its secret is gone, or it is forged."""

    reason = "unverifiable"


class UntrustedSender(ReceiverError):
    """An event whose content no trusted sender has sealed; its message names the key, which is no secret."""

    reason = "untrusted_sender"


class ReplayedAnswer(ReceiverError):
    """An answer that another event has brought before: a human decides once, under whatever id it comes again."""

    reason = "replayed_answer"


class OrderError(ReceiverError):
    """An order to the workers that cannot be."""


class InvalidOrder(OrderError):
    """It does not have the shape of an order; the message names the part, never its value."""


class TooManyOrders(OrderError):
    """So many orders wait that no more are taken."""


class HandlerControl(ReceiverError):
    """Base of what a handler raises to say how its event goes on; not a failure of the handler."""


class RetryLater(HandlerControl):
    """Run this handler again after ``seconds``: 0 to 366 days. Counts as a try."""

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds <= 366 * 86400:
            raise ValueError(f"RetryLater needs seconds >= 0 and at most 366 days, not {seconds!r}")
        self.seconds = float(seconds)
        super().__init__(f"retry in {self.seconds:g} s")


class Discard(HandlerControl):
    """Never run this handler again for this event; ``reason`` is a short word for logs (no user data)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HiloopError(ReceiverError):
    """A call of Hiloop's API that failed, or was refused before it was sent.

    ``status`` is the HTTP status, None where there was no answer; ``code`` the API's short name for what went wrong
    (our own where it gave none); ``message`` one sentence for people; ``request_id`` what Hiloop's support asks for;
    ``hint`` how to mend it; ``retry_after`` the seconds after which the API wants to be asked again.
    """

    code = "api_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code or self.code
        self.request_id = request_id
        self.hint = hint
        self.retry_after = retry_after

    def __str__(self) -> str:
        facts = [
            f"status {self.status}" if self.status is not None else "",
            self.code,
            f"request {self.request_id}" if self.request_id else "",
        ]
        text = f"{self.message} ({', '.join(fact for fact in facts if fact)})"
        return f"{text}; {self.hint}" if self.hint else text


class AuthenticationFailed(HiloopError):
    """The API key is malformed, of the wrong kind, unknown, or may not do this."""

    code = "authentication_failed"


class NotFound(HiloopError):
    """There is no such session, delivery or participant, or this agent may not see it."""

    code = "not_found"


class ValidationFailed(HiloopError):
    """An argument is wrong; ``message`` names the place, never the value."""

    code = "validation_failed"


class RateLimited(HiloopError):
    """Too many calls; ``retry_after`` says when to go on."""

    code = "rate_limited"


class ConnectionFailed(HiloopError):
    """The API could not be reached, or the connection broke before the answer was complete."""

    code = "connection_failed"


class TimedOut(HiloopError):
    """The API did not answer in time."""

    code = "timed_out"


class MalformedAnswer(HiloopError):
    """The API's answer is no strict JSON object, or lacks what it must hold; ``message`` names the place."""

    code = "malformed_answer"
