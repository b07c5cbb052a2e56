"""Which workers are alive: by lock files, or by heartbeats alone."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import platform
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

from sttbatch.core.errors import StateError
from sttbatch.core.jobs import Worker
from sttbatch.database.private_files import boot_id, is_at, private_folder

UNSEEN_EXPIRY_S = 300.0
"""Seconds without a heartbeat after which a worker whose lock cannot be seen counts as dead."""

EXPIRY_S = 45.0
"""The same where heartbeats alone decide."""


class Heartbeats:
    """A `Liveness` by the ledger's clock, for workers that share a ledger and no file system."""

    heartbeat_s = 10.0
    lease_s = 30.0

    def __init__(self, machine: str | None = None) -> None:
        self.host = this_machine() if machine is None else machine

    def hold(self, worker_id: str) -> contextlib.AbstractContextManager[None]:
        del worker_id
        return contextlib.nullcontext()

    def is_alive(self, worker_id: str, worker: Worker | None) -> bool:
        del worker_id
        return worker is not None and worker.silent_s < EXPIRY_S

    def forget(self, worker_id: str) -> None:
        """Do nothing: a worker has no files."""

    def sweep(self, known: Collection[str]) -> None:
        """Do nothing: a worker has no files."""


class FileLocks:
    """A `Liveness`: a living worker holds a lock file in the data folder.

    The kernel unlocks it when the process ends. For workers of another folder or machine, the age
    of the last heartbeat decides.
    """

    heartbeat_s = 60.0
    lease_s = math.inf

    def __init__(self, data_folder: Path, machine: str | None = None) -> None:
        self._folder = data_folder / "locks"
        self._machine = this_machine() if machine is None else machine

    @cached_property
    def host(self) -> str:
        """Machine, boot, and the device and inode of the folder of locks."""
        status = private_folder(self._folder).stat()
        return f"{self._machine} {status.st_dev}:{status.st_ino}"

    @contextlib.contextmanager
    def hold(self, worker_id: str) -> Iterator[None]:
        host, path = self.host, self._path(worker_id)
        descriptor = hold(path, host)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def is_alive(self, worker_id: str, worker: Worker | None) -> bool:
        if is_held(self._path(worker_id)):
            return True
        if worker is None or shares_locks(worker.host, self.host):
            return False
        return worker.silent_s < UNSEEN_EXPIRY_S

    def forget(self, worker_id: str) -> None:
        remove_if_abandoned(self._path(worker_id), self.host)

    def sweep(self, known: Collection[str]) -> None:
        for path in self._folder.glob("*.lock"):
            if path.stem not in known:
                remove_if_abandoned(path, self.host)

    def _path(self, worker_id: str) -> Path:
        return self._folder / f"{worker_id}.lock"


def this_machine() -> str:
    """The machine's name and boot id; containers of one machine share the boot id alone."""
    return f"{platform.node()} {boot_id()}"


def shares_locks(one: str, other: str) -> bool:
    """Whether each of two hosts certainly sees the other's locks."""
    name, boot, folder = _parts(one)
    other_name, other_boot, other_folder = _parts(other)
    same_boot = bool(boot) and boot == other_boot
    if not same_boot and (not name or name != other_name):
        return False
    if not folder or not other_folder:
        # Written by sttbatch 0.1, which did not store the folder.
        return True
    if same_boot:
        return folder == other_folder
    # Device numbers may change with a restart of the machine, inodes do not.
    return folder.rpartition(":")[2] == other_folder.rpartition(":")[2]


def _parts(host: str) -> tuple[str, str, str]:
    name, boot, folder = [*host.split(" "), "", ""][:3]
    return name, boot, folder


def hold(path: Path, host: str) -> int:
    """Create and lock `path`; the lock is held until the returned descriptor is closed.

    No child inherits it, as one that outlives this process would keep the lock. Raises StateError
    if the file system allows no file or no lock.
    """
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(descriptor, host.encode())
            # `is_held` of another process may hold it for an instant.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, path):
                return descriptor
            # The file was removed before it was locked.
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{path} cannot be locked: {error.strerror}") from error


def is_held(path: Path) -> bool:
    """Whether a lock is held; disturbs no holder, and raises StateError if that is unknown."""
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


def remove_if_abandoned(path: Path, host: str) -> None:
    """Remove a lock file that nobody holds, if a lock on it would be visible on `host`."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            owner = os.pread(descriptor, 1024, 0).decode("utf-8", "replace")
            if not owner or shares_locks(owner, host):
                path.unlink()
        finally:
            os.close(descriptor)
