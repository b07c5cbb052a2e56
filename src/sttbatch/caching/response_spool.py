"""ResponseSpool: disk space for answers in flight, reserved before their requests are sent.

Answers that arrive while the ledger cannot be written are stored there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator
from operator import attrgetter
from pathlib import Path

import msgspec
from msgspec import Struct

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.options import MIB
from sttbatch.core.ports import WorkLedger
from sttbatch.core.work import AUDIO_SECONDS, RequestRecord, Usage, WorkItem
from sttbatch.database.private_files import (
    create_locked,
    flush_folder,
    locked_if_free,
    private_folder,
    write_all,
)

RESERVED_BYTES = MIB
"""Reserved for each lane; a compressed answer of several hours is smaller."""

_MAGIC = b"sttbatch answer 1\n"
_HEADER = struct.Struct(f">{len(_MAGIC)}sQ32s")
_SUFFIX = ".answer"
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


class SpooledResponse(Struct, frozen=True, rename={"request": "post"}):
    """A request that the ledger could not book; in files `request` is `post`, as in version 0.1.

    Attributes:
        value: the answer as the ledger stores it; None: the request brought none.
        worker_id, task_id: of the claim that it was sent under.
        quantity: in `unit`; None: an older version wrote this, and `request` has seconds of audio.
        generated: how much of it a language model wrote.
    """

    key: str
    value: bytes | None
    request: APIRequest
    cost: float
    file_sha256: str
    engine: str
    model: str
    worker_id: str
    unit: str = ""
    quantity: float | None = None
    task_id: int = 0
    generated: float = 0.0


_SPOOLED = attrgetter(
    *("item.key", "value", "request", "cost", "item.file_sha256", "item.engine", "item.model"),
    *("worker_id", "item.usage.unit", "item.usage.quantity", "task_id"),
    "item.usage.generated",
)
"""The values of a `SpooledResponse` from a `RequestRecord`."""

_decoder = msgspec.msgpack.Decoder(SpooledResponse)


class _ReservedFile(Struct):
    """A reserved file, locked for as long as its descriptor is open."""

    path: Path
    descriptor: int
    used: bool = False


class ResponseSpool:
    """A preallocated file for each lane, so that writing an answer needs no free disk space.

    `reserve` and `write` block: they run before anything is sent, or after the ledger has failed. A
    thread could outlive a cancelled run and write into a closed descriptor.

    Args:
        lanes: how many answers may be in flight, or being stored, at the same time.
    """

    def __init__(self, folder: Path, lanes: int) -> None:
        self.folder = folder
        self._count = lanes
        self._files: list[_ReservedFile] = []

    def reserve(self) -> None:
        """Create missing files of `RESERVED_BYTES` each; raises StateError if the disk is full."""
        missing = self._count - sum(not file.used for file in self._files)
        if missing <= 0:
            return
        private_folder(self.folder)
        added: list[_ReservedFile] = []
        try:
            for _ in range(missing):
                added.append(_ReservedFile(*create_locked(self._new_path, 0o600)))
                _allocate(added[-1].descriptor)
            flush_folder(self.folder)
            self._files += added
        except OSError as error:
            _release(added)
            raise StateError(
                f"{self.folder}: {missing * RESERVED_BYTES // MIB} MiB of disk space cannot be "
                f"reserved for answers, so nothing is sent: {error.strerror}; "
                "free some space and run again"
            ) from error

    def write(self, answer: SpooledResponse) -> None:
        """Write an answer into a reserved file; it is on the disk when this returns.

        Raises:
            StateError: it is too large, no file is free, or the disk failed.
        """
        body = zlib.compress(msgspec.msgpack.encode(answer))
        record = _HEADER.pack(_MAGIC, len(body), hashlib.sha256(body).digest()) + body
        file = next((file for file in self._files if not file.used), None)
        if file is None:
            raise StateError("no disk space was reserved for it")
        if len(record) > RESERVED_BYTES:
            raise StateError(f"it takes {len(record):,} bytes, {RESERVED_BYTES:,} are reserved")
        file.used = True
        try:
            write_all(file.descriptor, [record])
        except OSError as error:
            raise StateError(f"{file.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def spooling(self, record: RequestRecord) -> Iterator[None]:
        """Write `record` here if the ledger raises StateError in the block.

        Raises:
            StateError: the ledger's, and whether the record was written.
        """
        try:
            yield
        except StateError as error:
            what = "the answer" if record.value is not None else "the failed request"
            try:
                self.write(SpooledResponse(*_SPOOLED(record)))
            except StateError as lost:
                raise StateError(f"{error}; {what} could not be kept: {lost}") from error
            raise StateError(
                f"{error}; {what} is kept in {self.folder}, and the next run stores it"
            ) from error

    async def recover_into(self, ledger: WorkLedger) -> None:
        """Book the answers of this process and of ended ones; called before any lookup.

        Raises StateError if the ledger still cannot be written.
        """
        for file in [file for file in self._files if file.used]:
            response = _response(file.descriptor)
            if response is not None:
                await ledger.recover(_record(response))
            # If this write is lost, the answer is booked again, which changes nothing.
            os.pwrite(file.descriptor, bytes(_HEADER.size), 0)
            file.used = False
        with contextlib.closing(self.abandoned()) as abandoned:
            for response in abandoned:
                await ledger.recover(_record(response))

    def abandoned(self) -> Generator[SpooledResponse, None, None]:
        """The answers of ended processes; each file is removed when the next one is requested.

        Unreadable files, and those of another version, are kept.
        """
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError), locked_if_free(path) as descriptor:
                try:
                    response = _response(descriptor)
                except (msgspec.DecodeError, zlib.error):
                    continue
                if response is not None:
                    yield response
                path.unlink()

    async def aclose(self) -> None:
        """Remove the reserved files, except those with answers, which the next run books."""
        files, self._files = self._files, []
        _release(files)

    def _new_path(self) -> Path:
        return self.folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"


def _release(files: Iterable[_ReservedFile]) -> None:
    for file in files:
        if not file.used:
            with contextlib.suppress(OSError):
                file.path.unlink(missing_ok=True)
        os.close(file.descriptor)


def _response(descriptor: int) -> SpooledResponse | None:
    """The answer in a file; None: it is empty or incomplete."""
    data = os.pread(descriptor, RESERVED_BYTES, 0)
    if len(data) < _HEADER.size:
        return None
    magic, length, sha256 = _HEADER.unpack_from(data)
    body = data[_HEADER.size : _HEADER.size + length]
    is_sound = magic == _MAGIC and len(body) == length and hashlib.sha256(body).digest() == sha256
    return _decoder.decode(zlib.decompress(body)) if is_sound else None


def _record(response: SpooledResponse) -> RequestRecord:
    usage = Usage(AUDIO_SECONDS, response.request.audio_s)
    if response.quantity is not None:
        usage = Usage(response.unit, response.quantity, response.generated)
    of = (response.engine, response.model, usage, response.cost)
    item = WorkItem(response.key, response.file_sha256, 0, *of)
    claim = (response.worker_id, response.task_id)
    return RequestRecord(item, response.request, response.value, *claim)


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
        os.fsync(descriptor)
    except (AttributeError, OSError) as error:
        # macOS lacks the call, and some file systems do not support it.
        if isinstance(error, OSError) and error.errno not in _NO_FALLOCATE:
            raise
        write_all(descriptor, [bytes(RESERVED_BYTES)])
