"""Folders and files that are private from their creation, and locked by their writers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sttbatch.core.errors import StateError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Some network file systems need no flush of a folder and refuse it; others deny the permission.
_UNFLUSHABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})

_OURS = frozenset({"ledger.db", "metrics.db", "rate.db", "search.db", "l2", "cache.db"})
"""Names of which a data folder or a cache folder holds at least one."""


def boot_id() -> str:
    """The kernel's boot id, the same in all containers; empty if it is unknown."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def private_folder(path: Path) -> Path:
    """Create `path` and its missing parents with mode 0700, and return it.

    Raises StateError if it cannot be created, belongs to another user, or is in use for something
    else; then it is not changed.
    """
    try:
        # pathlib's mode for parents is that of the umask; who may write there may replace ours.
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            # Who can change the link could make this process change any folder.
            raise StateError(f"{path} is a symbolic link; name {path.resolve()} itself")
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_folder(path, descriptor)
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(
            f"{path} cannot be used as a folder of state: {error.strerror}; "
            "name another one with data_dir or cache_dir"
        ) from error
    return path


def _check_folder(path: Path, descriptor: int) -> None:
    """Raises StateError if an open folder is another user's, or in use for something else."""
    status = os.fstat(descriptor)
    if status.st_mode & stat.S_ISVTX or path.resolve() == Path(path.anchor or "/"):
        # Other users need /tmp and /, so their mode must not change.
        raise StateError(f"{path} is world-writable; name a folder of your own in it")
    _check_owner(path, status)
    is_open = bool(stat.S_IMODE(status.st_mode) & 0o077)
    is_home = _is_home(status)
    if is_open or is_home:
        held = set(os.listdir(descriptor))
        # A home whose mode would change is refused even if state lies in it.
        if held and (held.isdisjoint(_OURS) or (is_open and is_home and not held <= _OURS)):
            what = "is your home folder, with" if is_home else "is open to others and holds"
            raise StateError(
                f"{path} {what} other files; name a folder of its own, as {path}/state"
            )


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise StateError(
            f"{path} belongs to another user (uid {status.st_uid}); name a folder of your own"
        )


def _is_home(status: os.stat_result) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return os.path.samestat(status, Path.home().stat())
    return False


def private_file(path: Path) -> Path:
    """Create `path` with mode 0600, or give it that mode if others may use it.

    Raises StateError if it cannot be written, is a link, or belongs to another user, who could have
    written anything into it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            check_private(path, status := os.fstat(descriptor))
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise StateError(f"{path} cannot be written: {reason}") from error
    return path


def check_private(path: Path, status: os.stat_result) -> None:
    """Raises StateError unless `path` is a regular file of this user."""
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is not a regular file; move it away")
    _check_owner(path, status)


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


def write_all(descriptor: int, blocks: Iterable[bytes]) -> None:
    """Write a file from its start; it is on the disk when this returns."""
    end = 0
    for block in blocks:
        rest = memoryview(block)
        while rest:
            written = os.pwrite(descriptor, rest, end)
            rest, end = rest[written:], end + written
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
