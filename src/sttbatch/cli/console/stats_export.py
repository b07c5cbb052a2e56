"""`stats --prometheus` and `stats --push`: totals since the first run for a monitoring system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.cli.console.report_files import replace_report
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.monitoring.statistics import Sources

STDOUT = "-"

# node_exporter is another user, and no recording is named here.
_READABLE = 0o644


async def write_exposition(sources: Sources, target: str) -> None:
    """Into a file, or on standard output where `target` is `-`.

    Raises:
        UsageError: the extra is not installed, or the file cannot be written.
    """
    with _extra():
        from sttbatch.monitoring.exporter import exposition
    text = await exposition(sources)
    if target != STDOUT:
        replace_report(Path(target), text, _READABLE)
        return
    from sttbatch.cli.console.rendering import Out

    out = Out()
    out.write(text)
    if out.fault is not None:
        raise UsageError(f"standard output cannot be written: {out.fault}")


async def push_figures(sources: Sources, url: str) -> None:
    """To a Pushgateway.

    Raises:
        UsageError: the extra is not installed, or that is no address.
        NotificationError: the gateway did not take them.
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
