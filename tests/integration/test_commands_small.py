"""The commands `doctor`, `keys`, `handlers`, `sign` and `verify` as processes."""

from __future__ import annotations

import base64
from pathlib import Path

from receiver.embedded import EmbeddedRedis
from receiver.keyring import KeyPair
from receiver.sandbox.harness import LocalHiloop
from receiver.signature import sign
from tests.support.commands import run
from tests.support.processes import SETTINGS, Running
from tests.support.wire import AGENT, API_KEY, SECRET


def test_doctor_finds_all_well_and_what_is_wrong(redis_server: EmbeddedRedis, web: Running, tmp_path: Path) -> None:
    with LocalHiloop(api_key=API_KEY) as hiloop:
        env = {
            **SETTINGS,
            "REDIS_URL": redis_server.url,
            "HILOOP_API_KEY": API_KEY,
            "HILOOP_HANDLERS": "tests.support.handlers",
            "HILOOP_AGENT_NAME": "deploy-bot",
            "HILOOP_BASE_URL": hiloop.url,
            "LEDGER": str(tmp_path / "ledger"),
        }
        webhook = f"http://127.0.0.1:{web.port}/webhooks/hiloop"
        well = run("doctor", "--webhook", webhook, "--output", "json", env=env)
        assert (well.code, {row["level"] for row in well.rows}) == (0, {"ok"})
        told = " ".join(row["what"] for row in well.rows)
        for word in ("clock", "connections", "response.created", AGENT.key_id, "takes the API key", "webhook"):
            assert word in told
        wrong = run("doctor", "--webhook", f"{webhook}/nowhere", env={**env, "HILOOP_API_KEY": "hlp_" + "1" * 64})
        assert wrong.code == 1
        assert "refuses the API key" in wrong.out
        assert "✗ the webhook's address answers 404" in wrong.out
    away = run("doctor", "--output", "json", env={**env, "REDIS_URL": "redis://127.0.0.1:1/0"})
    levels = {row["what"].split(":")[0]: row["level"] for row in away.rows}
    assert (away.code, levels["Redis cannot be reached"], levels["Hiloop cannot be asked"]) == (0, "warning", "warning")


def test_doctor_warns_of_a_small_plan(tmp_path: Path) -> None:
    options = {"maxmemory": "25mb", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    with EmbeddedRedis(options=options) as server:
        found = run("doctor", "--output", "json", env={**SETTINGS, "REDIS_URL": server.url}).rows
    mends = {row["mend"] for row in found}
    assert {"set it to noeviction", "set HILOOP_KEEP_DEAD_BYTES=6mb"} <= mends


def test_keys() -> None:
    made = run("keys", "new", "--output", "json", env={}).row
    pair = KeyPair.from_base64(made["private_key"])
    assert (pair.key_id, base64.b64encode(pair.public_key).decode()) == (made["key_id"], made["public_key"])
    env = {"HILOOP_API_KEY": API_KEY, "HILOOP_AGENT_KEYS": made["private_key"]}
    shown = run("keys", "show", "--output", "json", env=env)
    assert [row["key_id"] for row in shown.rows] == [made["key_id"], AGENT.key_id]
    assert made["private_key"] not in shown.out + run("keys", "show", env=env).out
    assert run("keys", "show", env={}).code == 3
    assert run("keys", "show", env={"HILOOP_API_KEY": "hlp_prov_x"}).code == 4


def test_handlers(tmp_path: Path) -> None:
    env = {"HILOOP_HANDLERS": "tests.support.handlers", "LEDGER": str(tmp_path / "ledger")}
    act, tidy = run("handlers", "--output", "json", env=env).rows
    assert (act["handler"], act["type"], act["async"]) == ("tests.support.handlers.act", "response.created", True)
    assert (tidy["async"], tidy["retries"], tidy["timeout"]) == (False, 5, 60.0)
    assert "session.closed" in run("handlers", env=env).out
    assert run("handlers", env={}).code == 2


def test_sign_and_verify(tmp_path: Path) -> None:
    body = b'{"id": "evt_1"}\n'
    file = tmp_path / "event.json"
    file.write_bytes(body)
    env = {"HILOOP_WEBHOOK_SECRET": f"{SECRET},older-secret"}
    signature = run("sign", str(file), env=env).out.strip()
    assert signature == sign(SECRET.encode(), body)
    assert run("verify", str(file), "--signature", signature, env=env).code == 0
    older = sign(b"older-secret", body)
    assert run("verify", "-", "--signature", older, "--output", "json", env=env, stdin=body).row == {"valid": True}
    assert run("verify", "-", "--signature", older, env=env, stdin=body.rstrip()).code == 1
    assert run("verify", str(file), "--signature", "\udcff", env=env).code == 1
    assert run("sign", str(file), env={}).code == 2


def test_completion_knows_the_commands() -> None:
    env = {"_HILOOP_RECEIVER_COMPLETE": "bash_complete", "COMP_WORDS": "hiloop-receiver ev", "COMP_CWORD": "1"}
    assert "events" in run(env=env).out
