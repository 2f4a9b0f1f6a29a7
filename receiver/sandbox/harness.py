"""A whole local Hiloop for a `with` block: server, human, API key and webhook, for tests and demonstrations."""

from __future__ import annotations

import ipaddress
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from receiver.keyring import KeyPair
from receiver.sandbox.admin import Admin
from receiver.sandbox.app import Sandbox
from receiver.sandbox.autopilot import Autopilot
from receiver.sandbox.faults import Fault
from receiver.sandbox.human import Human
from receiver.sandbox.problems import SandboxError
from receiver.sandbox.rules import Rule, always
from receiver.sandbox.server import Server, listen

_START: Final = 10.0  # seconds


class LocalHiloop:
    """A sandbox that runs in a thread while the `with` block does.

        with LocalHiloop(webhook_url="http://127.0.0.1:8000/webhooks/hiloop", token="…", secret="…") as hiloop:
            client = HiloopClient(api_key=hiloop.api_key, base_url=hiloop.url, agent_name="deploy-bot")
            …
            hiloop.human.answer("approve")

    ``speed`` is how fast time runs for retries; ``auto`` lets the human answer by itself, with this action or by these
    rules, ``after`` so many seconds; ``faults`` are those of the webhook, spelled as in `faults.spelled`. ``url`` is
    what `HILOOP_BASE_URL` holds. Raises `CannotListen` if the port is taken, `ConfigurationError` for a bad state file.
    """

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        token: str | None = None,
        secret: str | None = None,
        faults: Sequence[str | Fault] = (),
        speed: float = 1.0,
        auto: str | Sequence[Rule] = (),
        after: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        human_key: KeyPair | None = None,
        state_file: Path | None = None,
        rate_limit: float | None = None,
        allow_hosts: Sequence[str] = (),
    ) -> None:
        self.api_key = api_key or new_api_key()
        self._sandbox = Sandbox(
            api_keys=[self.api_key],
            speed=speed,
            state_file=state_file,
            rate_limit=rate_limit,
            hosts=(host, *allow_hosts),
        )
        self._socket = listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.human = Human(self.url, human_key)
        self.admin = Admin(self.url)
        self.token, self.secret = token, secret
        self._webhook_url, self._faults = webhook_url, faults
        rules = always(auto, after) if isinstance(auto, str) else auto
        self._autopilot = Autopilot(Human(self.url, self.human.pair), rules) if rules else None
        self._server = Server(self._sandbox)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="hiloop-sandbox", daemon=True
        )

    def __repr__(self) -> str:
        return f"<LocalHiloop at {self.url}>"

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach it."""
        return not ipaddress.ip_address(self._socket.getsockname()[0]).is_loopback

    @property
    def page_url(self) -> str:
        """The address of the human's page, with the human's private key in its fragment."""
        return self.human.page_url

    def __enter__(self) -> Self:
        """Start; the human's key is registered and the webhook configured when this returns."""
        self._thread.start()
        try:
            self.human.register()  # the socket listens already, so this waits until the server is up
            if self._webhook_url is not None:
                self._configure(self._webhook_url)
        except BaseException:
            self._stop()
            raise
        if self._autopilot is not None:
            self._autopilot.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what is pending stays pending in the state file, if there is one."""
        self._stop()
        if self._autopilot is not None:
            self._autopilot.join()

    def _configure(self, url: str) -> None:
        """Make the webhook for ``url``, in place of one that a state file remembers."""
        for webhook in self.admin.webhooks():
            if webhook["url"] == url:
                self.admin.remove_webhook(webhook["id"])
        made = self.admin.add_webhook(url, token=self.token, secret=self.secret, faults=self._faults)
        self.token, self.secret = made["token"], made["secret"]

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_START)
        self.human.close()
        self.admin.close()
        self._socket.close()
        if self._thread.is_alive():
            raise SandboxError(f"the sandbox has not stopped within {_START:g} s")


def new_api_key() -> str:
    """A new API key of the published form: ``hlp_`` and 64 hex digits."""
    return f"hlp_{secrets.token_hex(32)}"
