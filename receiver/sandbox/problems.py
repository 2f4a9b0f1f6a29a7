"""What goes wrong with the sandbox, on both of its sides.

ReceiverError
└── SandboxError
    ├── Problem         a request is refused; knows the status and code of the answer
    ├── Unreachable     no sandbox answers under the address
    ├── CannotListen    the port is taken, or the address is not of this machine
    ├── NothingToAnswer no message waits for what the human wants to do
    └── WrongAnswer     the message offers other answers than this one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.errors import ReceiverError

Detail = Mapping[str, str]


class SandboxError(ReceiverError):
    """Base of the sandbox's errors."""


class Unreachable(SandboxError):
    """No sandbox answers under the address."""


class CannotListen(SandboxError):
    """The port is taken, or the address is not of this machine."""


class NothingToAnswer(SandboxError):
    """No message waits for what the human wants to do."""


class WrongAnswer(SandboxError):
    """The message offers other answers; the text names its buttons or questions, which only the human sees."""


class Problem(SandboxError):
    """A request that is answered with an error; raised where it is refused, and again where it was sent.

    ``status`` is the HTTP status, ``code`` a word for programs, ``details`` what is wrong with which field.
    None of them may quote what the caller has sent, except names of fields.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})
        super().__init__(f"{status} {code}: {message}")

    def as_json(self) -> dict[str, Any]:
        """The body of the answer: ``{"error": {"code", "message", "details"?}}``."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = [dict(detail) for detail in self.details]
        return {"error": error}


def not_found(what: str) -> Problem:
    """404: there is no such ``what``, or it is not the caller's; deliberately not said which."""
    return Problem(404, "not_found", f"there is no such {what}")


def conflict(code: str, message: str) -> Problem:
    """409: the request is well formed, but does not fit the state of things."""
    return Problem(409, code, message)


def invalid(details: Sequence[Detail]) -> Problem:
    """422: fields of the request are wrong; each of ``details`` has ``field`` and ``problem``."""
    names = ", ".join(dict.fromkeys(detail["field"] for detail in details))
    return Problem(422, "invalid_request", f"the request is not valid: {names}", details=details)
