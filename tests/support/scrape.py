"""Read `/metrics` as Prometheus does."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

METRICS_TOKEN: Final = "metrics-token-of-the-tests"
METRICS: Final[Mapping[str, str]] = {"HILOOP_METRICS_TOKEN": METRICS_TOKEN}


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def families(self) -> dict[str, Metric]:
        """Its families by name. Fails for what Prometheus could not read."""
        found = {family.name: family for family in text_string_to_metric_families(self.text)}
        assert all(family.type != "unknown" and family.documentation for family in found.values())
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples with this name and these labels; fails if there is no such name."""
        samples = [sample for family in self.families.values() for sample in family.samples if sample.name == name]
        chosen = [one.value for one in samples if labels.items() <= one.labels.items()]
        assert chosen or labels or name.removesuffix("_total") in self.families, f"no {name}"
        return sum(chosen)


def scrape(port: int, *, token: str | None = METRICS_TOKEN, method: str = "GET") -> Scrape:
    """Ask for `/metrics`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, "/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Scrape(response.status, headers, response.read().decode())
    finally:
        connection.close()
