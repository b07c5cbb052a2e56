"""Files that are there whole or not at all, and what may be replaced by them.

A temporary file is locked for as long as its writer lives. One without a lock was left behind.
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
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from sttbatch.core.errors import Hindered, RecordingError
from sttbatch.database.private_files import (
    create_locked,
    flush_folder,
    locked_if_free,
    write_all,
)

_TEMPORARY = re.compile(r"\.sttbatch-[0-9a-f]{16}\.tmp")
_ADVICE = {
    errno.ENOSPC: "free some space and run again, nothing is sent twice",
    errno.EDQUOT: "free some space and run again, nothing is sent twice",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`) and run again",
    errno.EACCES: "make the folder writable, or name another one with --output-dir",
    errno.EPERM: "make the folder writable, or name another one with --output-dir",
    errno.EROFS: "the file system is read-only; name another folder with --output-dir",
    errno.EISDIR: "a folder has this name; move it away",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
    errno.EEXIST: "a file stands where a folder is needed; move it away",
    errno.ENAMETOOLONG: "name a shorter path with --output-dir",
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Existing(Enum):
    """Whose file is at an output's path before it is written."""

    NOTHING = auto()
    SAME = auto()
    OURS = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """A path, the content that should be there, and the file that is.

    Attributes:
        sha256: of `content`.
        seen: tells one file from another at this path; None: nothing was there.
    """

    path: Path
    content: bytes
    sha256: str
    existing: Existing
    seen: tuple[int, ...] | None


def examine(path: Path, content: bytes, digests: frozenset[str]) -> Target:
    """Compare what stands at `path` with `content` and with the `digests` of what was written.

    A symlink, a device or a file that cannot be read is not ours, wherever it leads.

    Raises:
        RecordingError: a folder stands there, or one above is not to be searched.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    with explained(path):
        status = _status(path)
        if status is None:
            return Target(path, content, sha256, Existing.NOTHING, None)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        existing = Existing.FOREIGN
        if stat.S_ISREG(status.st_mode) and (digests or status.st_size == len(content)):
            held = _sha256(path)
            if held == sha256:
                existing = Existing.SAME
            elif held in digests:
                existing = Existing.OURS
        return Target(path, content, sha256, existing, _identity(status))


def replace_all(targets: Sequence[Target]) -> list[Target]:
    """Put each content at its path and flush it to the disk; all targets share one folder.

    Nothing is replaced before everything is written. Returns the targets that were skipped
    because somebody changed them since they were examined.

    Raises:
        RecordingError: the folder cannot be made or written to; no temporary file is left.
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
    """Remove the temporary files of runs that were killed; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are all that is needed
            if _TEMPORARY.fullmatch(name):
                path = folder / name
                with contextlib.suppress(OSError), locked_if_free(path) as descriptor:
                    # It may have become an output since its name was listed.
                    if stat.S_ISREG(os.fstat(descriptor).st_mode):
                        path.unlink()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise an `OSError` on as a `RecordingError` that says which file and what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "name another folder with --output-dir")
        full = error.errno in _FULL
        kind = Hindered if full else RecordingError
        raise kind(f"{path} cannot be written: {error.strerror}; {advice}") from error


@contextlib.contextmanager
def _temporary(folder: Path, content: bytes) -> Iterator[Path]:
    path, descriptor = create_locked(
        lambda: folder / f".sttbatch-{secrets.token_hex(8)}.tmp",
        # 0666, less the umask: an output is as readable as any file that its user makes.
        0o666,
        # Where there are no locks, nobody can take this one for left behind either.
        may_lack_locks=True,
    )
    try:
        write_all(descriptor, content)
        yield path
    finally:
        # Once it is renamed nothing has this name any more, nor will have: names are random.
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
