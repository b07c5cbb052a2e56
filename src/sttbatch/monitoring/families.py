"""Families of Prometheus's client, whose names begin with `sttbatch_`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sttbatch.core.version import __version__


class Families(Collector):
    """Families that were collected."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


def build_family() -> Family:
    """The version."""
    return InfoMetricFamily("sttbatch_build", "This sttbatch", {"version": __version__})


def of_ledger(ledger: str, families: Sequence[Family]) -> Sequence[Family]:
    """Families whose samples say of which ledger they are, as several processes export them."""
    for family in families:
        family.samples = [
            sample._replace(labels={**sample.labels, "ledger": ledger}) for sample in family.samples
        ]
    return families


def family_of(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    values: Mapping[str, float],
    label: str | None = None,
) -> Family:
    """A family of values by the value of `label`; without a label there is one value, of ""."""
    family = kind(f"sttbatch_{name}", text, labels=[label] if label else [])
    for label_value, value in values.items():
        family.add_metric([label_value] if label else [], value)
    return family


def gauge(name: str, text: str, value: float) -> Family:
    """A family of one value."""
    return family_of(GaugeMetricFamily, name, text, {"": value})
