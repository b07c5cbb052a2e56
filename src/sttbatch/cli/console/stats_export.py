"""`stats --prometheus` and `stats --push`: lifetime totals for a monitoring system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.cli.console.report_files import replace_report
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.monitoring.statistics import Sources

STDOUT = "-"

# node_exporter runs as another user, and the file names no recording.
_READABLE = 0o644


async def write_exposition(sources: Sources, target: str) -> None:
    """Write the exposition to a file, or to standard output where `target` is `-`.

    Raises:
        UsageError: the extra is not installed, or the file cannot be written.
    """
    with _extra():
        from sttbatch.monitoring.exporter import exposition
    text = await exposition(sources)
    if target != STDOUT:
        replace_report(Path(target), text, _READABLE)
        return
    output = StandardOutput()
    output.write(text)
    if output.fault is not None:
        raise UsageError(f"standard output cannot be written: {output.fault}")


async def push_figures(sources: Sources, url: str) -> None:
    """Send the totals to a Pushgateway.

    Raises:
        UsageError: the extra is not installed, or `url` is not an address.
        NotificationError: the gateway rejects them or cannot be reached.
    """
    with _extra():
        from sttbatch.monitoring.exporter import registry
    from sttbatch.external.notifications.pushgateway import gateway_at, push

    push(gateway_at(url), await registry(sources))


@contextlib.contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise UsageError(
            "figures for Prometheus need prometheus_client: pip install 'sttbatch[prometheus]'"
        ) from error
