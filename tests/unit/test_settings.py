"""Settings: what can be set, and that every wrong one is named at once and shows no secret."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.alerting import Alerting
from receiver.durability import Durability
from receiver.errors import ConfigurationError
from receiver.keeping import Keeping
from receiver.senders import TrustedSender, TrustedSenders
from receiver.settings import QueueSettings, WebSettings, WorkerSettings, duration

API_KEY = "hlp_" + "ab" * 32
QUEUE: Mapping[str, str] = {"REDIS_URL": "redis://localhost:6379/1", "HILOOP_WEBHOOK_SECRET": "whsec-canary"}
WEB: Mapping[str, str] = {**QUEUE, "HILOOP_WEBHOOK_TOKEN": "token-canary"}
WORKER: Mapping[str, str] = {**QUEUE, "HILOOP_API_KEY": API_KEY, "HILOOP_HANDLERS": "handlers"}


def test_the_least_that_a_web_process_needs() -> None:
    settings = WebSettings.from_environment(WEB)
    assert settings.redis_url == "redis://localhost:6379/1"
    assert settings.webhook_tokens == (b"token-canary",)
    assert settings.webhook_secrets == (b"whsec-canary",)
    assert (settings.port, settings.processes, settings.max_body, settings.dedup_window) == (8000, 1, 2**20, 604800)
    assert settings.ordered
    assert settings.durability is Durability.MEMORY
    assert settings.redis_verify_tls


def test_the_least_that_a_worker_needs() -> None:
    settings = WorkerSettings.from_environment(WORKER)
    assert (settings.api_key, settings.handlers, settings.agent_keys) == (API_KEY, ("handlers",), ())
    assert settings.lease * 2 <= 60, "a killed worker's events are to be taken over within 60 s"
    assert settings.grace < 30, "Heroku kills 30 s after its SIGTERM"


def test_the_web_process_cannot_hold_an_agents_key() -> None:
    names = {one.name for one in dataclasses.fields(WebSettings)}
    assert not {name for name in names if "key" in name}
    settings = WebSettings.from_environment({**WEB, "HILOOP_API_KEY": API_KEY, "HILOOP_AGENT_KEYS": API_KEY})
    assert API_KEY not in str(dataclasses.asdict(settings))


WEB_VALUES: dict[str, tuple[str, str, str, Any]] = {
    "TLS, self-signed": ("HILOOP_REDIS_TLS", "self-signed", "redis_verify_tls", False),
    "TLS, upper case": ("HILOOP_REDIS_TLS", "VERIFY", "redis_verify_tls", True),
    "rediss": ("REDIS_URL", "rediss://:p@h:6380", "redis_url", "rediss://:p@h:6380"),
    "unix": ("REDIS_URL", "unix:///tmp/redis.sock", "redis_url", "unix:///tmp/redis.sock"),
    "Sentinels": ("REDIS_URL", "redis+sentinel://a,b:1/m/0", "redis_url", "redis+sentinel://a,b:1/m/0"),
    "durable on disk": ("HILOOP_DURABILITY", "disk", "durability", Durability.DISK),
    "durable on a replica": ("HILOOP_DURABILITY", "Replica", "durability", Durability.REPLICA),
    "blanks around": ("PORT", " 5000 ", "port", 5000),
    "blank means not set": ("PORT", "  ", "port", 8000),
    "lowest port": ("PORT", "1", "port", 1),
    "highest port": ("PORT", "65535", "port", 65535),
    "several tokens": ("HILOOP_WEBHOOK_TOKEN", "token-one, token-two,", "webhook_tokens", (b"token-one", b"token-two")),
    "several secrets": ("HILOOP_WEBHOOK_SECRET", "secret-1,secret-2", "webhook_secrets", (b"secret-1", b"secret-2")),
    "no metrics": ("HILOOP_METRICS_TOKEN", "", "metrics_tokens", ()),
    "metrics": ("HILOOP_METRICS_TOKEN", "scraper-1,scraper-2", "metrics_tokens", (b"scraper-1", b"scraper-2")),
    "a secret outside ASCII": ("HILOOP_WEBHOOK_SECRET", "geheimnis-ü", "webhook_secrets", ("geheimnis-ü".encode(),)),
    "processes": ("WEB_CONCURRENCY", "4", "processes", 4),
    "queue": ("HILOOP_QUEUE", "my-queue_2", "queue", "my-queue_2"),
    "order": ("HILOOP_ORDER", "none", "ordered", False),
    "log format": ("HILOOP_LOG_FORMAT", "JSON", "log_format", "json"),
    "window": ("HILOOP_DEDUP_WINDOW", "2d", "dedup_window", 172800.0),
    "body timeout": ("HILOOP_BODY_TIMEOUT", "500ms", "body_timeout", 0.5),
    "body": ("HILOOP_MAX_BODY", "2048", "max_body", 2048),
    "host": ("HOST", "127.0.0.1", "host", "127.0.0.1"),
    "dashboard": ("HILOOP_DASHBOARD_TOKEN", "token-of-the-dashboard", "dashboard_tokens", (b"token-of-the-dashboard",)),
    "to look only": (
        "HILOOP_DASHBOARD_READ_TOKEN",
        f"{'a' * 16},{'b' * 16}",
        "dashboard_read_tokens",
        (b"a" * 16, b"b" * 16),
    ),
    "no dashboard": ("HILOOP_DASHBOARD_TOKEN", "", "has_dashboard", False),
    "a dashboard to look only": ("HILOOP_DASHBOARD_READ_TOKEN", "a" * 16, "has_dashboard", True),
    "headers": ("HILOOP_MAX_HEADERS", "8192", "max_headers", 8192),
    "header timeout": ("HILOOP_HEADER_TIMEOUT", "500ms", "header_timeout", 0.5),
    "connections": ("HILOOP_MAX_CONNECTIONS", "50", "max_connections", 50),
    "requests": ("HILOOP_MAX_REQUESTS", "20", "max_requests", 20),
    "bodies": ("HILOOP_MAX_BODIES", "8mb", "max_bodies", 8 * 1024 * 1024),
    "pending": ("HILOOP_MAX_PENDING", "10", "max_pending", 10),
    "routers are not known": ("HILOOP_PROXIES", "", "proxies", None),
    "no router": ("HILOOP_PROXIES", "0", "proxies", 0),
    "two routers": ("HILOOP_PROXIES", "2", "proxies", 2),
    "refusals": ("HILOOP_MAX_REFUSALS", "5", "max_refusals", 5),
}


@pytest.mark.parametrize(("name", "text", "field", "value"), WEB_VALUES.values(), ids=WEB_VALUES.keys())
def test_web_values(name: str, text: str, field: str, value: Any) -> None:
    assert getattr(WebSettings.from_environment({**WEB, name: text}), field) == value


WORKER_VALUES: dict[str, tuple[str, str, str, Any]] = {
    "base URL with /v1": ("HILOOP_BASE_URL", "https://api.example/v1", "base_url", "https://api.example"),
    "base URL with a slash": ("HILOOP_BASE_URL", "https://api.example/", "base_url", "https://api.example"),
    "base URL with /v1/": ("HILOOP_BASE_URL", "https://api.example/v1/", "base_url", "https://api.example"),
    "base URL here": ("HILOOP_BASE_URL", "http://127.0.0.1:9000", "base_url", "http://127.0.0.1:9000"),
    "alerts": ("HILOOP_ALERT_URL", "https://h/x", "alerts", Alerting(url="https://h/x")),
    "alerts, off": ("HILOOP_ALERT_STALLED", "0", "alerts", Alerting(stalled=0.0)),
    "alerts, waiting": ("HILOOP_ALERT_WAITING", "1h", "alerts", Alerting(waiting=3600.0)),
    "alerts, rate": ("HILOOP_ALERT_EVERY", "10m", "alerts", Alerting(every=600.0)),
    "alerts, check": ("HILOOP_ALERT_CHECK", "500ms", "alerts", Alerting(check=0.5)),
    "several modules": ("HILOOP_HANDLERS", "a, b.c ,_d", "handlers", ("a", "b.c", "_d")),
    "agent name": ("HILOOP_AGENT_NAME", "deploy-bot", "agent_name", "deploy-bot"),
    "keys": ("HILOOP_AGENT_KEYS", "YQ==,Yg==", "agent_keys", ("YQ==", "Yg==")),
    "keys of agents": ("HILOOP_AGENT_KEYS", "YQ== = a bot", "agent_keys", ("YQ== = a bot",)),
    "trusted senders": (
        "HILOOP_TRUSTED_SENDERS",
        f"{'0' * 32} = Ada",
        "trusted_senders",
        TrustedSenders([TrustedSender("0" * 32, "Ada")]),
    ),
    "concurrency": ("WORKER_CONCURRENCY", "10", "concurrency", 10),
    "no retries": ("HILOOP_RETRIES", "0", "retries", 0),
    "timeout": ("HILOOP_HANDLER_TIMEOUT", "2m", "timeout", 120.0),
    "no grace": ("HILOOP_SHUTDOWN_GRACE", "0", "grace", 0.0),
    "lease": ("HILOOP_LEASE", "5s", "lease", 5.0),
    "reconciling": ("HILOOP_RECONCILE", "90s", "reconcile", 90.0),
    "no reconciling": ("HILOOP_RECONCILE", "0", "reconcile", 0.0),
    "one webhook": ("HILOOP_WEBHOOK_ID", "wh-1", "webhooks", ("wh-1",)),
    "several webhooks": ("HILOOP_WEBHOOK_ID", "wh-1, wh-2", "webhooks", ("wh-1", "wh-2")),
}


@pytest.mark.parametrize(("name", "text", "field", "value"), WORKER_VALUES.values(), ids=WORKER_VALUES.keys())
def test_worker_values(name: str, text: str, field: str, value: Any) -> None:
    assert getattr(WorkerSettings.from_environment({**WORKER, name: text}), field) == value


KEEPING_VALUES: dict[str, tuple[str, str, str, Any]] = {
    "dead letters": ("HILOOP_KEEP_DEAD", "2d", "dead", 172800),
    "how many": ("HILOOP_KEEP_DEAD_MAX", "10", "dead_max", 10),
    "bytes": ("HILOOP_KEEP_DEAD_BYTES", "65536", "dead_bytes", 65536),
    "kilobytes": ("HILOOP_KEEP_DEAD_BYTES", "500kb", "dead_bytes", 512_000),
    "megabytes, upper case": ("HILOOP_KEEP_DEAD_BYTES", "5MB", "dead_bytes", 5 * 2**20),
    "a gigabyte": ("HILOOP_KEEP_DEAD_BYTES", "1gb", "dead_bytes", 2**30),
    "handled ones": ("HILOOP_KEEP_HANDLED", "90m", "handled", 5400),
    "no handled ones": ("HILOOP_KEEP_HANDLED", "0", "handled", 0),
    "how many handled ones": ("HILOOP_KEEP_HANDLED_MAX", "5000", "handled_max", 5000),
    "bodies": ("HILOOP_KEEP_EVENTS", "all", "bodies", True),
    "bodies of dead letters only": ("HILOOP_KEEP_EVENTS", "Failed", "bodies", False),
}


@pytest.mark.parametrize(("name", "text", "field", "value"), KEEPING_VALUES.values(), ids=KEEPING_VALUES.keys())
def test_what_is_kept(name: str, text: str, field: str, value: Any) -> None:
    settings = WorkerSettings.from_environment({**WORKER, name: text})
    assert settings.keeping == dataclasses.replace(Keeping(), **{field: value})


WRONG_WEB = [
    ("REDIS_URL", ""),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "redis+sentinel://localhost"),
    ("REDIS_URL", "redis+sentinel://localhost/mymaster?timeout=1"),
    ("HILOOP_REDIS_TLS", "off"),
    ("HILOOP_QUEUE", "a:b"),
    ("HILOOP_QUEUE", "-a"),
    ("HILOOP_QUEUE", "a" * 65),
    ("HILOOP_WEBHOOK_SECRET", ""),
    ("HILOOP_WEBHOOK_SECRET", ","),
    ("HILOOP_WEBHOOK_SECRET", "short"),
    ("HILOOP_WEBHOOK_SECRET", "long-enough,short"),
    ("HILOOP_WEBHOOK_TOKEN", ""),
    ("HILOOP_WEBHOOK_TOKEN", "short"),
    ("HILOOP_DASHBOARD_TOKEN", "fifteen letters"),
    ("HILOOP_DASHBOARD_READ_TOKEN", f"{'a' * 16},short-one"),
    ("HILOOP_METRICS_TOKEN", "short"),
    ("HILOOP_METRICS_TOKEN", ","),
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("PORT", "-1"),
    ("PORT", "8_000"),
    ("PORT", "٣"),
    ("PORT", "9" * 5000),
    ("WEB_CONCURRENCY", "0"),
    ("WEB_CONCURRENCY", "two"),
    ("HILOOP_MAX_BODY", "1"),
    ("HILOOP_MAX_BODY", "1MiB"),
    ("HILOOP_BODY_TIMEOUT", "0"),
    ("HILOOP_BODY_TIMEOUT", "soon"),
    ("HILOOP_BODY_TIMEOUT", "-1s"),
    ("HILOOP_DEDUP_WINDOW", "0s"),
    ("HILOOP_DEDUP_WINDOW", "400d"),
    ("HILOOP_ORDER", "maybe"),
    ("HILOOP_MAX_HEADERS", "100"),
    ("HILOOP_HEADER_TIMEOUT", "0"),
    ("HILOOP_MAX_CONNECTIONS", "0"),
    ("HILOOP_MAX_REQUESTS", "0"),
    ("HILOOP_MAX_BODIES", "1kb"),
    ("HILOOP_MAX_PENDING", "0"),
    ("HILOOP_PROXIES", "-1"),
    ("HILOOP_PROXIES", "yes"),
    ("HILOOP_MAX_REFUSALS", "0"),
    ("HILOOP_DURABILITY", "fsync"),
]
WRONG_WORKER = [
    ("HILOOP_TRUSTED_SENDERS", "Ada"),
    ("HILOOP_TRUSTED_SENDERS", ","),
    ("REDIS_URL", ""),
    ("HILOOP_WEBHOOK_SECRET", ""),
    ("HILOOP_API_KEY", ""),
    ("HILOOP_API_KEY", "hlp_" + "AB" * 32),
    ("HILOOP_API_KEY", "hlp_prov_" + "ab" * 32),
    ("HILOOP_BASE_URL", "http://api.hi-loop.com"),
    ("HILOOP_BASE_URL", "api.hi-loop.com"),
    ("HILOOP_BASE_URL", "https://"),
    ("HILOOP_BASE_URL", "https://[::1"),
    ("HILOOP_HANDLERS", ""),
    ("HILOOP_HANDLERS", ","),
    ("HILOOP_HANDLERS", "handlers.py;rm"),
    ("HILOOP_HANDLERS", "a..b"),
    ("HILOOP_HANDLERS", "/srv/handlers"),
    ("WORKER_CONCURRENCY", "0"),
    ("HILOOP_RETRIES", "-1"),
    ("HILOOP_RETRY_BASE", "0"),
    ("HILOOP_RETRY_MAX", "30 days"),
    ("HILOOP_HANDLER_TIMEOUT", "0"),
    ("HILOOP_SHUTDOWN_GRACE", "-1"),
    ("HILOOP_LEASE", "10ms"),
    ("HILOOP_KEEP_DEAD", "1s"),
    ("HILOOP_KEEP_DEAD", "0"),
    ("HILOOP_KEEP_DEAD", "400d"),
    ("HILOOP_KEEP_DEAD_MAX", "0"),
    ("HILOOP_KEEP_DEAD_BYTES", "1kb"),
    ("HILOOP_KEEP_DEAD_BYTES", "5 mb"),
    ("HILOOP_KEEP_DEAD_BYTES", "much"),
    ("HILOOP_KEEP_HANDLED", "1s"),
    ("HILOOP_KEEP_HANDLED_MAX", "-1"),
    ("HILOOP_KEEP_EVENTS", "none"),
    ("HILOOP_RECONCILE", "500ms"),
    ("HILOOP_RECONCILE", "2d"),
    ("HILOOP_RECONCILE", "never"),
]


@pytest.mark.parametrize(("name", "text"), WRONG_WEB)
def test_wrong_web_settings_are_named(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebSettings.from_environment({**WEB, name: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name} ")
    assert len(problem) > len(name) + 10, "it does not say how to mend it"


@pytest.mark.parametrize(("name", "text"), WRONG_WORKER)
def test_wrong_worker_settings_are_named(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WorkerSettings.from_environment({**WORKER, name: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name} ")


def test_all_wrong_settings_are_named_at_once() -> None:
    wrong = {"PORT": "x", "HILOOP_ORDER": "x", "HILOOP_WEBHOOK_SECRET": "x", "HILOOP_MAX_BODY": "x"}
    with pytest.raises(ConfigurationError) as caught:
        WebSettings.from_environment(wrong)
    named = [problem.split(" ")[0] for problem in caught.value.problems]
    assert sorted(named) == sorted([*wrong, "REDIS_URL", "HILOOP_WEBHOOK_TOKEN"])
    with pytest.raises(ConfigurationError) as caught:
        WorkerSettings.from_environment({})
    named = [problem.split(" ")[0] for problem in caught.value.problems]
    assert sorted(named) == ["HILOOP_API_KEY", "HILOOP_HANDLERS", "HILOOP_WEBHOOK_SECRET", "REDIS_URL"]


def test_explicit_keys_need_no_api_key() -> None:
    environment = {**WORKER, "HILOOP_API_KEY": "", "HILOOP_AGENT_KEYS": "YQ=="}
    assert WorkerSettings.from_environment(environment).agent_keys == ("YQ==",)


@pytest.mark.parametrize(
    "environment",
    [
        {"HILOOP_WEBHOOK_SECRET": "canary"},
        {"HILOOP_WEBHOOK_TOKEN": "canary"},
        {"HILOOP_METRICS_TOKEN": "canary"},
        {"HILOOP_API_KEY": "hlp_canary"},
        {"HILOOP_API_KEY": "hlp_prov_canary"},
        {"REDIS_URL": "http://:canary@host"},
        {"REDIS_URL": "canary"},
        {"REDIS_URL": "redis+sentinel://:canary@host"},
        {"HILOOP_ALERT_URL": "canary://canary"},
        {"HILOOP_ALERT_URL": "https:///canary", "REDIS_URL": "x"},
        {"HILOOP_ALERT_URL": "https://canary\u2100/", "REDIS_URL": "x"},
    ],
)
@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_errors_show_no_secret(kind: type[WebSettings | WorkerSettings], environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind.from_environment(environment)
    assert "canary" not in str(caught.value)


def test_reprs_show_no_secret() -> None:
    secret = {
        "REDIS_URL": "redis://:canary@host/0",
        "HILOOP_AGENT_KEYS": "canary",
        "HILOOP_ALERT_URL": "https://h/canary",
    }
    for settings in (WebSettings.from_environment({**WEB, **secret}), WorkerSettings.from_environment(WORKER | secret)):
        assert "canary" not in repr(settings)
        assert API_KEY not in repr(settings)
        assert "redis://" not in repr(settings)


def test_settings_cannot_be_changed() -> None:
    settings = QueueSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.queue = "another"  # type: ignore[misc]  # that it is refused is what is tested


DURATIONS = [
    ("90", 90.0),
    ("0", 0.0),
    ("1.5", 1.5),
    ("500ms", 0.5),
    ("30s", 30.0),
    ("5m", 300.0),
    ("2h", 7200.0),
    ("7d", 604800.0),
    (" 7 d ", 604800.0),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1e3", "5 weeks", "1h30m", "inf", "nan", "1.", ".5", "٣", "5S"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


names = st.sampled_from([name for name, _ in WRONG_WEB + WRONG_WORKER])


@given(st.dictionaries(names, st.text(max_size=30)))
def test_any_environment_gives_settings_or_one_error(environment: dict[str, str]) -> None:
    for kind, base in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        with contextlib.suppress(ConfigurationError):
            assert kind.from_environment({**base, **environment}).webhook_secrets
