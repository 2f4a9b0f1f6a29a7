"""A whole receiver with a dashboard, for the tests that look at it: Redis, the local Hiloop, web and worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from receiver.client import HiloopClient
from receiver.embedded import EmbeddedRedis
from receiver.sandbox.harness import LocalHiloop
from tests.support.processes import Running, start_web, start_worker
from tests.support.wire import API_KEY, SECRET, answer, post
from tests.support.wire import TOKEN as TOKEN_OF_WEBHOOK

if TYPE_CHECKING:
    import redis
    from playwright.sync_api import Page

TOKEN: Final = "token-of-the-dashboard"
READ_TOKEN: Final = "token-to-look-only-at-it"


@dataclass
class Stage:
    """What runs, and where."""

    folder: Path
    redis: redis.Redis
    web: Running
    worker: Running
    hiloop: LocalHiloop

    @property
    def url(self) -> str:
        """The dashboard's address."""
        return f"http://127.0.0.1:{self.web.port}/dashboard"

    def send(self, type_: str = "invoice.paid", **fields: Any) -> None:
        """Have an event accepted."""
        assert post(self.web.port, answer("approve", type=type_, **fields)).status in (200, 202)

    def log_in(self, page: Page, token: str = TOKEN, name: str = "Ada") -> None:
        """Open the overview as somebody."""
        page.goto(f"{self.url}/")
        page.get_by_label("Token").fill(token)
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()

    def log_in_again(self, page: Page, name: str) -> None:
        """The same with another name."""
        page.context.clear_cookies()
        self.log_in(page, name=name)

    @contextmanager
    def platform(self) -> Iterator[tuple[str, HiloopClient]]:
        """A webhook of the local Hiloop that nothing gets through, and a client of the agent's."""
        address = f"http://127.0.0.1:{self.web.port}/webhooks/hiloop"
        made = self.hiloop.admin.add_webhook(address, token=TOKEN_OF_WEBHOOK, secret=SECRET, faults=["wrong-signature"])
        try:
            with HiloopClient(API_KEY, "deploy-bot", base_url=self.hiloop.url) as client:
                yield made["id"], client
        finally:
            self.hiloop.admin.remove_webhook(made["id"])

    def mend(self, webhook: str) -> None:
        """Let the webhook's deliveries through."""
        self.hiloop.admin.set_faults(webhook)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Start all of it. Handlers of `invoice.*` fail as long as the file `broken` is in ``folder``."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis())
        hiloop = stack.enter_context(LocalHiloop(api_key=API_KEY, speed=1_000_000))
        (folder / "broken").touch()
        tokens = {"HILOOP_DASHBOARD_TOKEN": TOKEN, "HILOOP_DASHBOARD_READ_TOKEN": READ_TOKEN}
        web = start_web(server.url, folder, tokens)
        stack.callback(web.stop)
        handlers = {"HILOOP_HANDLERS": "tests.support.dashboard_handlers", "HILOOP_BASE_URL": hiloop.url}
        worker = start_worker(server.url, folder, {**handlers, "HILOOP_AGENT_NAME": "deploy-bot"})
        stack.callback(worker.kill)
        yield Stage(folder, stack.enter_context(server.client()), web, worker, hiloop)
