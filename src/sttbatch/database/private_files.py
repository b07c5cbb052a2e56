"""Folders and files that are private from their creation, and locked by their writers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sttbatch.core.errors import StateError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Some network file systems need no flush of a folder and refuse it; others deny the permission.
_UNFLUSHABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})


def boot_id() -> str:
    """The kernel's boot id, the same in all containers; empty if it is unknown."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def private_folder(path: Path) -> Path:
    """Create `path` and its missing parents with mode 0700, and return it.

    Raises StateError if it cannot be created, or belongs to another user.
    """
    try:
        # pathlib's mode for parents is that of the umask; who may write there may replace ours.
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat()
        owner = status.st_uid
        if status.st_mode & stat.S_ISVTX or path.resolve() == Path(path.anchor or "/"):
            # Other users need /tmp and /, so their mode must not change.
            raise StateError(f"{path} is world-writable; name a folder of your own in it")
        if owner != os.geteuid():
            raise StateError(
                f"{path} belongs to another user (uid {owner}); name a folder of your own"
            )
        path.chmod(0o700)
    except OSError as error:
        raise StateError(f"{path} cannot be used as a folder of state: {error.strerror}") from error
    return path


def private_file(path: Path) -> Path:
    """Create `path` with mode 0600 unless it exists."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which the kernel frees if this process is killed.

    Raises StateError if the file system allows no file or no lock.
    """
    private_file(path)
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(path.open("rb+"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise StateError(f"{path} cannot be locked: {error.strerror or error}") from error
        yield


@contextlib.contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """A locked folder for this run's temporary files; unlocked ones of killed runs are removed."""
    private_folder(parent)
    # One run at a time, as a new folder has no lock yet.
    with locked(parent.with_suffix(".lock")):
        for existing in parent.glob("run-*"):
            _remove_if_free(existing)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_free(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def create_locked(
    named: Callable[[], Path], mode: int, *, may_lack_locks: bool = False
) -> tuple[Path, int]:
    """Create a file with a name from `named`; it is locked until its descriptor is closed.

    Raises OSError if it cannot be created or locked.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        path = named()
        descriptor = os.open(path, flags, mode)
        try:
            with contextlib.suppress(*[OSError] * may_lack_locks):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, path):
                return path, descriptor
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        # Another process took it for an abandoned file and removed it before it was locked.
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[int]:
    """Lock an abandoned file; raises OSError if its creator runs, or another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_at(descriptor, path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has this path: it may have been removed before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def write_all(descriptor: int, content: bytes) -> None:
    """Write a file from its start; it is on the disk when this returns."""
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, memoryview(content)[written:], written)
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk; raises OSError if that fails and is needed."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNFLUSHABLE:
            raise
    finally:
        os.close(descriptor)
