"""How the sandbox's commands fail: an error, a hint how to mend it, and an exit code that scripts can rely on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from receiver.errors import ConfigurationError
from receiver.exits import FAILED, NOT_FOUND, REFUSED, UNREACHABLE, USAGE, Failure
from receiver.sandbox.problems import CannotListen, NothingToAnswer, Problem, SandboxError, Unreachable, WrongAnswer

P = ParamSpec("P")
R = TypeVar("R")


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate ``command`` so that the sandbox's errors end it as a `Failure`."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SandboxError, ConfigurationError) as error:
            raise _failure(error) from None

    return run


def _failure(error: SandboxError | ConfigurationError) -> Failure:
    match error:
        case Unreachable():
            hint = "start one with `hiloop-receiver sandbox`, or say where it is with --url"
            return Failure(str(error), hint, UNREACHABLE)
        case CannotListen():
            return Failure(str(error), "choose another with --port; --port 0 takes any that is free", FAILED)
        case NothingToAnswer():
            hint = "let an agent send a message first, or wait longer with --wait 30s"
            return Failure(str(error), hint, NOT_FOUND)
        case WrongAnswer():
            return Failure(str(error), "choose one of those; --message ID chooses another message", USAGE)
        case Problem(status=404):
            return Failure(error.message, "look at the ids on the human's page or in the sandbox's output", NOT_FOUND)
        case Problem():
            return Failure(f"{error.message} ({error.status} {error.code})", _mend(error), REFUSED)
        case ConfigurationError():
            return Failure("; ".join(error.problems), "mend the file or the option, and start again", USAGE)
        case _:
            return Failure(str(error), "see `--help` for the options", FAILED)


def _mend(problem: Problem) -> str:
    if problem.details:
        return "; ".join(f"{each['field']} {each['problem']}" for each in problem.details)
    return {
        "already_answered": "the first answer counts; a new message can be answered anew",
        "session_closed": "let the agent start a new session",
        "forbidden_host": "start the sandbox with --allow-host and this name",
    }.get(problem.code, "the sandbox's output says more")
