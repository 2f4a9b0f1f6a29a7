"""A scripted human: holds a private key, opens what agents send, and answers over the human API.

It does in Python what the page does in the browser. The sandbox gets from it a public key and ciphertext.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from receiver.envelope import open_envelope, seal
from receiver.errors import OpenError
from receiver.keyring import KEY_BYTES, KeyPair, Keyring
from receiver.sandbox.calls import Caller
from receiver.sandbox.components import buttons, check_action, filled_in, questions
from receiver.sandbox.problems import NothingToAnswer, Problem

WAIT: Final = 10.0  # seconds that a human waits for a message by default
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class HumanSession:
    """A session as its human sees it. ``title`` is None where it was sealed before the human had this key."""

    id: str
    agent_name: str
    status: str
    priority: str
    waiting: bool
    title: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class HumanMessage:
    """A message as a human sees it, opened. ``readable`` is False where it is not sealed for the human's key.

    ``answered`` tells whether there is a response to it. The plaintext shows in no repr.
    """

    id: str
    session_id: str
    sender_type: str
    priority: str
    response_required: bool
    created_at: str
    answered: bool
    readable: bool
    content: Any = field(repr=False)
    components: Any = field(repr=False)

    @property
    def asks(self) -> bool:
        """Whether the agent wants an answer to it that nobody has given."""
        wants = self.response_required or bool(buttons(self.components) or questions(self.components))
        return self.sender_type == "Agent" and self.readable and not self.answered and wants


@dataclass(frozen=True, slots=True)
class HumanResponse:
    """An answer that was given, opened; ``value`` is None where it is not sealed for the human's key."""

    id: str
    session_id: str
    message_id: str
    responder_id: str
    created_at: str
    value: Any = field(repr=False)


class Human:
    """The human of the sandbox at ``url``, with the key pair ``pair`` (default: a new one, as of a new device).

    For one thread. All methods raise `Problem` for what the sandbox refuses and `Unreachable` where none answers.
    """

    def __init__(self, url: str, pair: KeyPair | None = None) -> None:
        self.pair = pair or KeyPair.from_private(secrets.token_bytes(KEY_BYTES))
        self._keyring = Keyring([self.pair])
        self._api = Caller(url)
        self._handed_out: set[str] = set()

    def __repr__(self) -> str:
        return f"<Human {self.pair.key_id} at {self._api.url}>"

    @property
    def page_url(self) -> str:
        """The address of the page, with the private key in the fragment, which browsers do not send."""
        key = base64.urlsafe_b64encode(self.pair.private_key).decode().rstrip("=")
        return f"{self._api.url}/#key={key}"

    def register(self) -> None:
        """Publish the public key, so that agents seal for it from now on."""
        self._api.call("PUT", "/human/api/keys", {"publicKey": base64.b64encode(self.pair.public_key).decode()})

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    # What there is to see

    def sessions(self) -> list[HumanSession]:
        """The sessions by priority, then newest first."""
        return [
            HumanSession(
                id=each["id"],
                agent_name=each["agentName"],
                status=each["status"],
                priority=each["priority"],
                waiting=each["waiting"],
                title=self._opened(each["encryptedTitle"], each["id"], "encryptedTitle")[0],
            )
            for each in self._api.every("/human/api/sessions")
        ]

    def timeline(self, session_id: str) -> list[HumanMessage | HumanResponse]:
        """All messages and responses of a session, oldest first."""
        items = list(self._api.every(f"/human/api/sessions/{session_id}/timeline"))
        answered = {each["messageId"] for each in items if each["kind"] == "response"}
        return [
            self._response(each) if each["kind"] == "response" else self._message(each, each["id"] in answered)
            for each in items
        ]

    def messages(self, session_id: str | None = None) -> list[HumanMessage]:
        """The messages of a session, oldest first, or of all sessions, the most urgent session first."""
        ids = [session_id] if session_id else [each.id for each in self.sessions()]
        return [item for each in ids for item in self.timeline(each) if isinstance(item, HumanMessage)]

    def asking(self, session_id: str | None = None) -> HumanMessage | None:
        """The message to answer next: the latest that asks, in this session or the most urgent one with any."""
        open_ids = [each.id for each in self.sessions() if each.status == "Open"]
        for each in open_ids if session_id is None else [session_id]:
            asked = [message for message in self.messages(each) if message.asks]
            if asked:
                return asked[-1]
        return None

    def wait_for_message(self, session_id: str | None = None, *, timeout: float = WAIT) -> HumanMessage:
        """The next message of an agent that this method has not returned before, oldest first.

        Waits for it up to ``timeout`` seconds, then raises `NothingToAnswer`.
        """

        def find() -> HumanMessage | None:
            new = [
                each
                for each in self.messages(session_id)
                if each.sender_type == "Agent" and each.id not in self._handed_out
            ]
            return min(new, key=lambda message: message.created_at, default=None)

        message = self.wait_until(find, "no agent has sent a message", timeout=timeout)
        self._handed_out.add(message.id)
        return message

    def wait_until(self, find: Callable[[], Found | None], otherwise: str, *, timeout: float = WAIT) -> Found:
        """What ``find`` returns as soon as it returns something; asked again whenever something happens.

        Raises `NothingToAnswer` with the text ``otherwise`` after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self.notices(timeout) as notices:
            found = find()
            for _ in notices if found is None else ():
                found = find()
                if found is not None or time.monotonic() > deadline:
                    break
        if found is None:
            raise NothingToAnswer(f"{otherwise} (waited {timeout:g} s)" if timeout else otherwise)
        return found

    def notices(self, seconds: float) -> AbstractContextManager[Iterator[dict[str, Any]]]:
        """What happens from here on, for ``seconds``: ``{"type", "sessionId"}`` each."""
        return self._api.notices("/human/api/events", seconds)

    # What a human does

    def answer(
        self,
        action: str,
        session_id: str | None = None,
        *,
        message: HumanMessage | None = None,
        timeout: float = WAIT,
    ) -> HumanMessage:
        """Press the button ``action``, or answer with this text where there are no buttons.

        Answers ``message`` or what `asking` finds, and waits for that up to ``timeout`` seconds. Returns the message.
        Raises `NothingToAnswer`, and `WrongAnswer` if the message has buttons or a form but not this button.
        """
        message = message or self._wait_for_asking(session_id, timeout)
        check_action(message.components, action)
        return self._respond(message, action)

    def answer_form(
        self,
        answers: dict[str, Any],
        session_id: str | None = None,
        *,
        message: HumanMessage | None = None,
        timeout: float = WAIT,
    ) -> HumanMessage:
        """Send the form of a message: question id → option, list of options, or text. Otherwise like `answer`.

        Raises `WrongAnswer` for a question or an option the form does not have.
        """
        message = message or self._wait_for_asking(session_id, timeout)
        return self._respond(message, filled_in(message.components, answers))

    def say(self, text: str, session_id: str | None = None) -> str:
        """Write in a session, by default the most urgent open one that waits, else the most urgent open one.

        Returns the session's id. Raises `NothingToAnswer` if no session is open.
        """
        chosen = session_id or self.open_session()
        path = f"/human/api/sessions/{chosen}/messages"
        self._post_sealed(path, {}, text, session_id=chosen, field_name="encryptedContent")
        return chosen

    def close_session(self, session_id: str | None = None) -> str:
        """End a session, by default the one that `say` would write in. Returns its id."""
        chosen = session_id or self.open_session()
        self._api.call("POST", f"/human/api/sessions/{chosen}/close")
        return chosen

    def open_session(self) -> str:
        """The id of the most urgent open session, one that waits before others. Raises `NothingToAnswer`."""
        opened = [each for each in self.sessions() if each.status == "Open"]
        if not opened:
            raise NothingToAnswer("no session is open")
        return next((each.id for each in opened if each.waiting), opened[0].id)

    # How it is done

    def _wait_for_asking(self, session_id: str | None, timeout: float) -> HumanMessage:
        return self.wait_until(lambda: self.asking(session_id), "no message asks for an answer", timeout=timeout)

    def _respond(self, message: HumanMessage, value: Any) -> HumanMessage:
        path = f"/human/api/sessions/{message.session_id}/responses"
        plain = {"messageId": message.id}
        self._post_sealed(path, plain, value, session_id=message.session_id, field_name="encryptedResponse")
        return message

    def _post_sealed(self, path: str, plain: dict[str, Any], value: Any, *, session_id: str, field_name: str) -> None:
        def post() -> None:
            sealed = self._sealed(value, session_id, field_name)
            self._api.call("POST", path, {**plain, field_name: sealed})

        try:
            post()
        except Problem as problem:
            if problem.code != "keys_changed":
                raise
            post()  # somebody published a key in between: seal for that one, too

    def _sealed(self, value: Any, session_id: str, field_name: str) -> dict[str, Any]:
        participants = self._api.call("GET", f"/human/api/sessions/{session_id}/participants")["items"]
        keys = {base64.b64decode(key["publicKey"]) for each in participants for key in each["keys"]}
        return seal(
            json.dumps(value, ensure_ascii=False).encode(),
            sender=self.pair,
            recipients=sorted(keys | {self.pair.public_key}),
            session_id=session_id,
            field_name=field_name,
        )

    def _opened(self, envelope: Any, session_id: str, field_name: str) -> tuple[Any, bool]:
        if envelope is None:
            return None, True
        try:
            opened = open_envelope(envelope, keyring=self._keyring, session_id=session_id, field_name=field_name)
            return opened.value, True
        except OpenError:
            return None, False

    def _message(self, item: dict[str, Any], answered: bool) -> HumanMessage:
        session_id = item["sessionId"]
        content, content_opens = self._opened(item["encryptedContent"], session_id, "encryptedContent")
        components, components_open = self._opened(item["encryptedComponents"], session_id, "encryptedComponents")
        return HumanMessage(
            id=item["id"],
            session_id=session_id,
            sender_type=item["senderType"],
            priority=item["priority"],
            response_required=item["responseRequired"],
            created_at=item["createdAt"],
            answered=answered,
            readable=content_opens and components_open,
            content=content,
            components=components,
        )

    def _response(self, item: dict[str, Any]) -> HumanResponse:
        return HumanResponse(
            id=item["id"],
            session_id=item["sessionId"],
            message_id=item["messageId"],
            responder_id=item["responderId"],
            created_at=item["createdAt"],
            value=self._opened(item["encryptedResponse"], item["sessionId"], "encryptedResponse")[0],
        )
