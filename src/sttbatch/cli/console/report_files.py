"""Report files that other programs read: replaced atomically."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from sttbatch.core.errors import UsageError


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
