"""What is said where an extra is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sttbatch.core.errors import UsageError


@contextlib.contextmanager
def needs_prometheus() -> Iterator[None]:
    """Raises UsageError if the block imports what the extra `prometheus` has."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in {"prometheus_client", "cramjam"}:
            raise
        raise UsageError(
            f"figures for Prometheus need {name}: pip install 'sttbatch[prometheus]'"
        ) from error
