"""Lock files that say whether a process lives: the kernel frees them when it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from pathlib import Path

from sttbatch.core.errors import StateError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_machine() -> str:
    """Its name, and which boot of which kernel it is: containers share the second alone."""
    try:
        boot = _BOOT_ID.read_text("ascii").strip()
    except OSError:
        boot = ""
    return f"{platform.node()} {boot}"


def same_machine(one: str, other: str) -> bool:
    """Whether locks that one of them takes are seen by the other for certain."""
    name, _, boot = one.rpartition(" ")
    other_name, _, other_boot = other.rpartition(" ")
    return (bool(name) and name == other_name) or (bool(boot) and boot == other_boot)


def hold(path: Path, machine: str) -> int:
    """Create and lock `path`; the lock is held until the descriptor returned is closed.

    No child inherits it: one that outlived us would keep the lock.

    Raises:
        StateError: the file system takes no file or no lock.
    """
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(descriptor, machine.encode())
            # Somebody may be looking whether it is held, which takes an instant.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                return descriptor
            # It was swept away between its creation and its lock.
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{path} cannot be locked: {error.strerror}") from error


def is_held(path: Path) -> bool:
    """Look without disturbing the holder, or others who look: shared locks exclude nobody's look.

    Raises:
        StateError: the file system cannot tell.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise StateError(f"{path} cannot be locked: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return False


def remove_if_left_behind(path: Path, machine: str) -> None:
    """Remove a lock file of this machine that nobody holds.

    One from another machine stays: that its lock is not seen here does not mean that it is free.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            owner = os.pread(descriptor, 1024, 0).decode("utf-8", "replace")
            if not owner or same_machine(owner, machine):
                path.unlink()
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
