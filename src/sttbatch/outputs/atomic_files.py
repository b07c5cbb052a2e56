"""Atomic replacement of files, if they have not been changed by others.

A temporary file is locked while its writer is alive; one without a lock is abandoned.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import Path

from msgspec import Struct

from sttbatch.core.errors import Hindered, RecordingError
from sttbatch.core.locations import Location
from sttbatch.database.private_files import (
    create_locked,
    flush_folder,
    locked_if_free,
    write_all,
)
from sttbatch.outputs.spooled_content import SpooledContent

_TEMPORARY = re.compile(r"\.sttbatch-[0-9a-f]{16}\.tmp")
_ADVICE = {
    errno.ENOSPC: "free some space and run again, nothing is sent twice",
    errno.EDQUOT: "free some space and run again, nothing is sent twice",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`) and run again",
    errno.EACCES: "make the folder writable, or name another one with --output-dir",
    errno.EPERM: "make the folder writable, or name another one with --output-dir",
    errno.EROFS: "the file system is read-only; name another folder with --output-dir",
    errno.EISDIR: "a folder has this name; move it away",
    errno.ENOTDIR: "there is a file where a folder is needed; move it away",
    errno.EEXIST: "there is a file where a folder is needed; move it away",
    errno.ENAMETOOLONG: "name a shorter path with --output-dir",
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Existing(Enum):
    """Which file is at an output's path before it is written."""

    NOTHING = auto()
    SAME = auto()
    OURS = auto()
    FOREIGN = auto()


class Target(Struct, frozen=True):
    """A path, its new content, and the existing file.

    Attributes:
        seen: identifies the existing file; None: there was none.
    """

    path: Path
    content: SpooledContent
    existing: Existing
    seen: tuple[int, ...] | None


def examine(path: Path, content: SpooledContent, digests: frozenset[str]) -> Target:
    """Compare the file at `path` with `content` and with the `digests` that were written.

    A symlink, a device or a file that cannot be read is not ours. Raises RecordingError if it is a
    folder, or cannot be examined.
    """
    with explained(path):
        status = _status(path)
        if status is None:
            return Target(path, content, Existing.NOTHING, None)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        existing = Existing.FOREIGN
        if stat.S_ISREG(status.st_mode) and (digests or status.st_size == content.size_bytes):
            digest = _sha256(path)
            if digest == content.sha256:
                existing = Existing.SAME
            elif digest in digests:
                existing = Existing.OURS
        return Target(path, content, existing, _identity(status))


def replace_all(targets: Sequence[Target]) -> list[Target]:
    """Write all contents, then replace the files, and flush them; all targets share one folder.

    Returns the targets that were skipped because they changed since they were examined. Raises
    RecordingError if the folder cannot be created or written; no temporary file remains.
    """
    skipped: list[Target] = []
    folder = targets[0].path.parent
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        written: list[tuple[Path, Target]] = []
        for target in targets:
            with explained(target.path):
                temporary = stack.enter_context(_temporary(folder, target.content))
            written.append((temporary, target))
        for temporary, target in written:
            with explained(target.path):
                status = _status(target.path)
                if target.seen != (_identity(status) if status else None):
                    skipped.append(target)
                    continue
                temporary.replace(target.path)
        with explained(folder):
            flush_folder(folder)
    return skipped


def sweep(folder: Path) -> None:
    """Remove temporary files of killed runs; errors are ignored."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are all that is needed
            if _TEMPORARY.fullmatch(name):
                path = folder / name
                with contextlib.suppress(OSError), locked_if_free(path) as descriptor:
                    # It must still be a regular file.
                    if stat.S_ISREG(os.fstat(descriptor).st_mode):
                        path.unlink()


@contextlib.contextmanager
def explained(path: Location) -> Iterator[None]:
    """Raise an `OSError` as a `RecordingError` that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "name another folder with --output-dir")
        full = error.errno in _FULL
        kind = Hindered if full else RecordingError
        raise kind(f"{path} cannot be written: {error.strerror}; {advice}") from error


@contextlib.contextmanager
def _temporary(folder: Path, content: SpooledContent) -> Iterator[Path]:
    path, descriptor = create_locked(
        lambda: folder / f".sttbatch-{secrets.token_hex(8)}.tmp",
        # Less the umask, as for any file that the user creates.
        0o666,
        # Without locks, no process can take it for abandoned either.
        may_lack_locks=True,
    )
    try:
        write_all(descriptor, content.blocks())
        yield path
    finally:
        # After a rename the name does not exist; names are random, so it is not reused.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)


def _sha256(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        return hashlib.file_digest(file, "sha256").hexdigest()
