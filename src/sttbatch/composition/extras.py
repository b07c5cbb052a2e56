"""What is said where an extra is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sttbatch.core.errors import UsageError


def needs_prometheus() -> contextlib.AbstractContextManager[None]:
    """Raises UsageError if the block imports what the extra `prometheus` has."""
    return _needs("prometheus", {"prometheus_client", "cramjam"}, "figures for Prometheus")


def needs_otel() -> contextlib.AbstractContextManager[None]:
    """Raises UsageError if the block imports what the extra `otel` has."""
    return _needs("otel", {"opentelemetry", "prometheus_client"}, "traces and figures by OTLP")


@contextlib.contextmanager
def _needs(extra: str, modules: set[str], what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in modules:
            raise
        raise UsageError(f"{what} need {name}: pip install 'sttbatch[{extra}]'") from error
