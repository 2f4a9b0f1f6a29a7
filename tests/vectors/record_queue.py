"""Record what this version leaves in Redis, in every state of an event: `python -m tests.vectors.record_queue`.

Once a release, before its number is raised: `tests/acceptance/test_upgrade.py` lets later versions go on from there.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from receiver import __version__
from receiver.embedded import EmbeddedRedis
from receiver.keyring import KeyPair
from receiver.layout import Layout
from receiver.ledger import Ledger
from tests.support.commands import run
from tests.support.ledger import events
from tests.support.processes import SETTINGS, start_web, start_worker
from tests.support.recorded import record
from tests.support.waiting import wait_until
from tests.support.wire import answer, post

FOLDER: Final = Path(__file__).parent
HANDLERS: Final = {"HILOOP_HANDLERS": "tests.support.recorded_handlers"}
# A retry must not come due while this records.
PATIENT: Final = {"HILOOP_RETRIES": "3", "HILOOP_RETRY_BASE": "10s", "HILOOP_RETRY_MAX": "10s"}


def main() -> None:
    """Bring events into every state, kill the last worker, and write down what is there."""
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as name, server.client() as client:
        folder = Path(name)
        ledger = Ledger(client, Layout())
        web = start_web(server.url, folder)

        def send(event: str, do: str, session: str, **fields: Any) -> None:
            body = answer({"do": do}, event_id=event, session_id=session, **fields)
            assert post(web.port, body).status == 202, event

        worker = start_worker(server.url, folder, {**HANDLERS, "HILOOP_RETRIES": "0"})
        send("handled", "ok", "s-1")
        send("dead", "fail", "s-1")
        send("replayed", "fail", "s-2")
        send("unreadable", "ok", "s-3", agent=KeyPair.from_private(bytes(range(32))))
        wait_until(lambda: (ledger.counters().get("dead"), ledger.counters().get("handled")) == (3, 1))
        worker.stop()

        worker = start_worker(server.url, folder, {**HANDLERS, **PATIENT})
        send("retrying", "follow", "s-4")
        send("behind.the:retry", "ok", "s-4")
        wait_until(lambda: ledger.counters().get("retried") == 1)
        send("in-flight", "wait", "s-5")
        wait_until(lambda: "in-flight" in events(folder, "start"))
        worker.kill()

        send("behind-the-dead-worker", "ok", "s-5")
        for priority in ("Low", "Normal", "High", "Critical"):
            send(f"waiting-{priority.lower()}", "ok", f"s-{priority}", priority=priority)
        send("waiting-second", "ok", "s-Normal")
        env = {**SETTINGS, "REDIS_URL": server.url}
        assert run("events", "replay", "replayed", "--yes", env=env).code == 0
        web.stop()
        path = FOLDER / f"queue-{__version__}.json"
        record(client, path, __version__)
        print(f"{path.name}: {len(json.loads(path.read_text())['keys'])} keys")


if __name__ == "__main__":
    main()
