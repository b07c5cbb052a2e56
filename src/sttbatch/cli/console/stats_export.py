"""What `stats` exports: report files, and lifetime totals for a monitoring system."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

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
    text = await _exposition(sources)
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
    from sttbatch.external.notifications import gateway_at, push

    push(gateway_at(url), await _exposition(sources))


async def _exposition(sources: Sources) -> bytes:
    try:
        from sttbatch.monitoring.exporter import exposition
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise UsageError(
            "figures for Prometheus need prometheus_client: pip install 'sttbatch[prometheus]'"
        ) from error
    return await exposition(sources)


def replace_report(path: Path, content: bytes, new_mode: int) -> None:
    """Replace a file that may be open in another program; write to a device or a pipe.

    An existing file keeps its mode; a new one gets `new_mode`, whatever the umask.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else new_mode
        # Hidden, and without the target's ending: node_exporter reads all that end with `.prom`.
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp", delete=False
        ) as file:
            try:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
