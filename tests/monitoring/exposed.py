"""Prometheus's text format as its own client reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

Key: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


def families(text: str) -> list[Metric]:
    parsed: Iterable[Metric] = text_string_to_metric_families(text)
    return list(parsed)


def samples(text: str) -> dict[Key, float]:
    """Values by name and labels; each is there once."""
    found: dict[Key, float] = {}
    for family in families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    """The sum over all series that have these labels among theirs."""
    wanted = labels.items()
    chosen = [v for (n, found), v in samples(text).items() if n == name and wanted <= found]
    assert chosen, f"no {name} with {labels}"
    return sum(chosen)
