"""What is said where an extra is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sttbatch.core.errors import ExtraMissing


def needs_prometheus() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports what the extra `prometheus` has."""
    return _needs("figures for Prometheus need", {"prometheus_client", "cramjam"}, "prometheus")


def needs_otel() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports what the extra `otel` has."""
    names = {"opentelemetry", "prometheus_client"}
    return _needs("traces and figures by OTLP need", names, "otel")


def needs_celery() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports Celery, and the extra `cluster` is not installed."""
    return _needs("broker_url needs", {"celery", "kombu"}, "cluster")


@contextlib.contextmanager
def _needs(what: str, names: set[str], extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in names:
            raise
        raise ExtraMissing(f"{what} {name}: pip install 'sttbatch[{extra}]'") from error
