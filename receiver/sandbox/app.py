"""The sandbox as a Starlette application: the three APIs and the human's page. No server for production.

It has no accounts: whoever reaches it is its human and its admin. So it belongs on a loopback address, and refuses
browsers that come from other sites or under other names.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.sandbox.admin_api import AdminApi
from receiver.sandbox.agent_api import AgentApi, ApiKeys
from receiver.sandbox.clock import Clock, timestamp
from receiver.sandbox.delivery import Deliverer
from receiver.sandbox.faults import Faults
from receiver.sandbox.feed import Feed
from receiver.sandbox.hiloop import Hiloop
from receiver.sandbox.human_api import HumanApi
from receiver.sandbox.problems import Problem
from receiver.sandbox.records import Member
from receiver.sandbox.state import State, StateFile, create, load
from receiver.sandbox.web import EveryAnswer, answer, on_failure, on_http_exception, on_problem

_STATIC: Final = Path(__file__).parent / "static"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
# What browsers may be tricked into calling; the agent's side asks for a key.
_GUARDED: Final = ("/human/", "/admin/")


class Sandbox:
    """All parts of a sandbox, put together. ``app`` is the ASGI application; call `let_go` before stopping it.

    ``api_keys`` are those of agents that are let in; ``speed`` is how fast time runs for deliveries; ``rate_limit``
    is in requests a second for each API key; ``hosts`` are further names under which browsers may reach it.
    Raises `ConfigurationError` for a state file that is none or cannot be written.
    """

    def __init__(
        self,
        *,
        api_keys: Sequence[str],
        speed: float = 1.0,
        state_file: Path | None = None,
        rate_limit: float | None = None,
        hosts: Sequence[str] = (),
        human_name: str = "You",
    ) -> None:
        self._file = StateFile(state_file)
        self.state = _state(state_file, human_name)
        self.clock = Clock(speed)
        self.feed = Feed()
        rng = random.Random()  # noqa: S311  # jitter and faults, no secrets
        faults = Faults(rng)
        self._deliverer = Deliverer(self.state, self.clock, faults, rng, self.feed, self._file.changed)
        hiloop = Hiloop(self.state, self._deliverer, self.feed, self._file.changed)
        started = timestamp()
        agents = AgentApi(hiloop, self._deliverer, ApiKeys(list(api_keys), rate_limit), started)
        admins = AdminApi(hiloop, self._deliverer, faults, self.clock, started, self._file.changed)
        routes: list[BaseRoute] = [
            *agents.routes(),
            *HumanApi(hiloop).routes(),
            *admins.routes(),
            Route("/healthz", _health, methods=["GET"]),
            Mount("/", StaticFiles(directory=_STATIC, html=True, check_dir=False)),
        ]
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(EveryAnswer), Middleware(Guard, hosts=(*_LOOPBACK, *hosts))],
            exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_failure},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._file.keep(self.state))
        self._deliverer.start()
        try:
            yield
        finally:
            await self._deliverer.stop()
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def let_go(self) -> None:
        """End all streams and long polls, for which a server would wait before it stops."""
        self.feed.close()


class Guard:
    """Middleware: a page of another site, or a name that was made to point here, cannot act as the human."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it with 403."""
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            problem = self._problem(Request(scope))
            if problem is not None:
                await answer(problem.as_json(), problem.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, request: Request) -> Problem | None:
        host = request.headers.get("host", "")
        if _name(f"//{host}") not in self._hosts:
            return Problem(403, "forbidden_host", "the sandbox does not answer under this name; see --allow-host")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return Problem(403, "forbidden_origin", "another site must not act as the human")
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _health(_request: Request) -> ASGIApp:
    return answer({"status": "ok", "service": "hiloop-sandbox"})


def _state(file: Path | None, human_name: str) -> State:
    """What the file remembers, or a new state with its one human."""
    if file is not None and file.exists():
        return load(file)
    human = Member(str(uuid.uuid4()), "Human", human_name, space_id=str(uuid.uuid4()))
    state = State(space_id=human.space_id, human_id=human.id, members={human.id: human})
    if file is not None:
        create(state, file)  # at once: that the file cannot be written is not to be found out at the end
    return state
