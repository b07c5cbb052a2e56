"""Folders of state, private from their first byte, and files locked by whoever writes them."""

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
# Some network file systems cannot flush a folder, nor need it; some folders may not be listed.
_UNFLUSHABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})

_OURS = frozenset({"ledger.db", "metrics.db", "rate.db", "l2", "cache.db"})
"""Names by which a data folder or a cache folder is known, however open its mode is."""


def boot_id() -> str:
    """Which boot of which kernel this is, whatever container asks; empty where that is unknown."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def private_folder(path: Path) -> Path:
    """Make `path` with mode 0700, and so what is missing above it, and return it.

    Raises:
        StateError: it cannot be made, belongs to another user, or is a folder for something else,
            which is left as it is.
    """
    try:
        # pathlib makes parents as open as the umask allows; who may write there may replace ours.
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            # Whoever can change the link could have us close, or fill, any folder.
            raise StateError(f"{path} is a symbolic link; name {path.resolve()} itself")
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_folder(path, descriptor)
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{path} cannot be used as a folder of state: {error.strerror}") from error
    return path


def _check_folder(path: Path, descriptor: int) -> None:
    """Raises StateError where an open folder must not be closed to others, or is not ours."""
    status = os.fstat(descriptor)
    if status.st_mode & stat.S_ISVTX or path.resolve() == Path(path.anchor or "/"):
        # Closing /tmp to all other users would stop the machine.
        raise StateError(f"{path} is world-writable; name a folder of your own in it")
    _check_owner(path, status)
    is_open = bool(stat.S_IMODE(status.st_mode) & 0o077)
    if is_open or _is_home(status):
        held = set(os.listdir(descriptor))
        if held and held.isdisjoint(_OURS):
            what = "is open to others and holds" if is_open else "is your home folder, with"
            raise StateError(
                f"{path} {what} other files; name a folder of its own, as {path}/state"
            )


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise StateError(
            f"{path} belongs to another user (uid {status.st_uid}); name a folder of yours"
        )


def _is_home(status: os.stat_result) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return os.path.samestat(status, Path.home().stat())
    return False


def private_file(path: Path) -> Path:
    """Create `path` with mode 0600, or close it to others if it is there.

    Raises:
        StateError: it cannot be written, or is not ours: a link, or another user's, who could have
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
    """Raises StateError unless it is a regular file of this user."""
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is no regular file; move it away")
    _check_owner(path, status)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which the kernel frees should we be killed.

    Raises:
        StateError: the file system takes no file or no lock.
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
    """A folder for this run's temporary files; removes those that killed runs left behind.

    A run holds a lock on its own folder, so a folder without one has no run any more.
    """
    private_folder(parent)
    # One run at a time: a folder that has just been made has no lock yet.
    with locked(parent.with_suffix(".lock")):
        for left_behind in parent.glob("run-*"):
            _remove_if_free(left_behind)
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
    """A new file under a name that `named` gives, locked for as long as its descriptor is open.

    Raises:
        OSError: it cannot be made, or, where it must not lack locks, not locked.
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
        # Whoever looks for files that were left behind was faster than our lock.
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[int]:
    """Hold the lock of a file that was left behind.

    Raises:
        OSError: the process that made it still runs, or another one is cleaning up.
    """
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
    """Write a file from its beginning; it is on the disk when this returns."""
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, memoryview(content)[written:], written)
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to the disk; raises OSError where that fails and is needed."""
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
