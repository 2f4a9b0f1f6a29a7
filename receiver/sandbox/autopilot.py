"""Lets a scripted human answer by itself, by rules, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from receiver.sandbox.components import buttons, plausible, questions
from receiver.sandbox.human import Human, HumanMessage
from receiver.sandbox.problems import Problem, SandboxError, Unreachable, WrongAnswer
from receiver.sandbox.rules import Rule, decide

logger = logging.getLogger(__name__)

_IDLE: Final = 15.0  # seconds after which it looks again although nothing has happened


class Autopilot:
    """Answers every message that asks, by the first rule that matches it. Ends when the sandbox does.

    ``human`` belongs to the thread from `start` on.
    """

    def __init__(self, human: Human, rules: Sequence[Rule]) -> None:
        self._human = human
        self._rules = rules
        self._due: dict[str, tuple[float, Rule, HumanMessage]] = {}
        self._seen: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="hiloop-autopilot", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread, which ends once the sandbox has stopped."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._act()
                # Subscribed first: what comes while it looks is not missed.
                with self._human.notices(self._patience()) as notices:
                    if not self._look():
                        next(notices, None)
        except Unreachable:
            logger.debug("the sandbox has stopped")
        finally:
            self._human.close()

    def _patience(self) -> float:
        next_due = min((due for due, *_ in self._due.values()), default=time.monotonic() + _IDLE)
        return min(_IDLE, max(0.0, next_due - time.monotonic()))

    def _look(self) -> bool:
        """Whether there is something new to do."""
        before = len(self._due)
        for session in self._human.sessions():
            if session.status != "Open":
                continue
            for message in self._human.messages(session.id):
                if not message.asks or message.id in self._seen:
                    continue
                self._seen.add(message.id)
                rule = decide(self._rules, session, message)
                if rule is not None and not rule.ignore:
                    self._due[message.id] = (time.monotonic() + rule.after, rule, message)
        return len(self._due) > before

    def _act(self) -> None:
        for message_id, (due, rule, message) in list(self._due.items()):
            if due <= time.monotonic():
                del self._due[message_id]
                self._follow(rule, message)

    def _follow(self, rule: Rule, message: HumanMessage) -> None:
        try:
            follow(self._human, rule, message)
        except Unreachable:
            raise
        except WrongAnswer:
            # The error's text quotes the message, which belongs into no log.
            logger.warning("the rule for message %s does not fit what it offers", message.id)
        except Problem as problem:
            logger.warning("message %s was not answered: %s", message.id, problem.code)
        except SandboxError as error:
            logger.warning("message %s was not answered: %s", message.id, type(error).__name__)


def follow(human: Human, rule: Rule, message: HumanMessage) -> None:
    """Do what ``rule`` says about ``message``. Raises as `Human` does."""
    if rule.say is not None:
        human.say(rule.say, message.session_id)
    elif rule.close:
        human.close_session(message.session_id)
    elif rule.form is not None:
        human.answer_form(rule.form, message=message)
    elif rule.answer is not None:
        if questions(message.components) and not buttons(message.components):
            human.answer_form(plausible(message.components), message=message)
        else:
            human.answer(rule.answer, message=message)
