"""A collector of OpenTelemetry's traces on this machine (OTLP over HTTP): keeps the spans that processes send."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it came over the wire; ids in hexadecimal digits, ``ms`` is its duration."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool
    events: int
    ms: float


class Collector:
    """Listens on a port of its own while it is entered. ``raw`` is all that was sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.raw = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, str]:
        """OpenTelemetry's own variables that lead here; spans are sent at once."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }

    def named(self, name: str) -> list[Span]:
        """The spans of one name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    def _take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_read(span, about["service.name"]) for span in scope.spans]


def _read(span: Any, service: str) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=span.kind,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in span.links),
        attributes={one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes},
        failed=span.status.code == 2,
        events=len(span.events),
        ms=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
    )
