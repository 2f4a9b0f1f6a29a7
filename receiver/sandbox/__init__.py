"""A local Hiloop: the API, the human's page, and signed deliveries. No server for production."""

from receiver.sandbox.admin import Admin
from receiver.sandbox.faults import Fault
from receiver.sandbox.harness import LocalHiloop
from receiver.sandbox.human import Human, HumanMessage, HumanResponse, HumanSession
from receiver.sandbox.problems import CannotListen, NothingToAnswer, Problem, SandboxError, Unreachable, WrongAnswer
from receiver.sandbox.rules import Rule

__all__ = [
    "Admin",
    "CannotListen",
    "Fault",
    "Human",
    "HumanMessage",
    "HumanResponse",
    "HumanSession",
    "LocalHiloop",
    "NothingToAnswer",
    "Problem",
    "Rule",
    "SandboxError",
    "Unreachable",
    "WrongAnswer",
]
