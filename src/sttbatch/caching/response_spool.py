"""Room for the answers in flight, reserved before they are asked for.

So nothing is lost while the ledger cannot be written.
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
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import msgspec

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

LANE_BYTES = MIB
"""Reserved for each lane: a compressed answer of several hours takes less."""

_MAGIC = b"sttbatch answer 1\n"
_HEADER = struct.Struct(f">{len(_MAGIC)}sQ32s")
_SUFFIX = ".answer"
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


class SpooledResponse(msgspec.Struct, frozen=True, rename={"request": "post"}):
    """What the ledger did not take; in files `request` is called `post`, as in version 0.1.

    Attributes:
        value: the answer as the ledger stores it; None: the request brought none.
        cost: of `request`.
        worker_id, task_id: of the claim that it was sent under.
        quantity: in `unit`; None: an older version wrote this, and `request` has seconds of audio.
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


_SPOOLED = attrgetter(
    *("item.key", "value", "request", "cost", "item.file_sha256", "item.engine", "item.model"),
    *("worker_id", "item.usage.unit", "item.usage.quantity", "task_id"),
)
"""What a `SpooledResponse` holds of a `RequestRecord`, in its order."""

_decoder = msgspec.msgpack.Decoder(SpooledResponse)


@dataclass(slots=True)
class _Lane:
    """A reserved file, locked for as long as its descriptor is open."""

    path: Path
    descriptor: int
    used: bool = False


class ResponseSpool:
    """A preallocated file for each lane; writing into one needs no space that is not there.

    `reserve` and `keep` block: the first comes before anything is sent, the second only once the
    ledger has failed. So no thread outlives a cancelled run and writes into a closed descriptor.

    Args:
        folder: made when it is needed, private.
        lanes: answers that may be in flight at the same time.
    """

    def __init__(self, folder: Path, lanes: int) -> None:
        self.folder = folder
        self._count = lanes
        self._lanes: list[_Lane] = []

    def reserve(self) -> None:
        """Have an empty file of `LANE_BYTES` for every lane; does nothing where they are there.

        Raises:
            StateError: there is no room for them; the message says how much is needed.
        """
        missing = self._count - sum(not lane.used for lane in self._lanes)
        if missing <= 0:
            return
        private_folder(self.folder)
        added: list[_Lane] = []
        try:
            for _ in range(missing):
                added.append(_Lane(*create_locked(self._new_path, 0o600)))
                _allocate(added[-1].descriptor)
            flush_folder(self.folder)
            self._lanes += added
        except OSError as error:
            _give_back(added)
            raise StateError(
                f"{self.folder}: nothing is sent without room for the answers, "
                f"{missing * LANE_BYTES // MIB} MiB: {error.strerror}; "
                "free some space and run again"
            ) from error

    def keep(self, answer: SpooledResponse) -> None:
        """Write `answer` into a lane's file; it is on the disk when this returns.

        Raises:
            StateError: it is too large, no file is free, or the disk failed.
        """
        body = zlib.compress(msgspec.msgpack.encode(answer))
        record = _HEADER.pack(_MAGIC, len(body), hashlib.sha256(body).digest()) + body
        lane = next((each for each in self._lanes if not each.used), None)
        if lane is None:
            raise StateError("no room was reserved for it")
        if len(record) > LANE_BYTES:
            raise StateError(f"it takes {len(record):,} bytes, {LANE_BYTES:,} are reserved")
        lane.used = True
        try:
            write_all(lane.descriptor, record)
        except OSError as error:
            raise StateError(f"{lane.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def keeping(self, record: RequestRecord) -> Iterator[None]:
        """Keep what the ledger is given meanwhile if it does not take it.

        Raises:
            StateError: the ledger's, and what became of the record.
        """
        try:
            yield
        except StateError as error:
            try:
                self.keep(SpooledResponse(*_SPOOLED(record)))
            except StateError as lost:
                what = "an answer" if record.value is not None else "a failed request"
                raise StateError(f"{error}; {what} could not be kept: {lost}") from error
            raise StateError(
                f"{error}; what came in is kept in {self.folder}, and the next run stores it"
            ) from error

    async def recover_into(self, ledger: WorkLedger) -> None:
        """Book what was kept, by this process and by those that are gone.

        To be called before anything is looked up.

        Raises:
            StateError: the ledger does not take it either.
        """
        for lane in [each for each in self._lanes if each.used]:
            response = _response(lane.descriptor)
            if response is not None:
                await ledger.recover(_record(response))
            # Should this be lost, it is booked again, which changes nothing.
            os.pwrite(lane.descriptor, bytes(_HEADER.size), 0)
            lane.used = False
        with contextlib.closing(self.left_behind()) as left_behind:
            for response in left_behind:
                await ledger.recover(_record(response))

    def left_behind(self) -> Generator[SpooledResponse, None, None]:
        """What runs that are over have kept; each file is removed when the next one is asked for.

        Files that cannot be read stay, as do those that another version wrote.
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
        """Give back what was reserved; what holds an answer stays for the next run."""
        lanes, self._lanes = self._lanes, []
        _give_back(lanes)

    def _new_path(self) -> Path:
        return self.folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"


def _give_back(lanes: Iterable[_Lane]) -> None:
    for lane in lanes:
        if not lane.used:
            with contextlib.suppress(OSError):
                lane.path.unlink(missing_ok=True)
        os.close(lane.descriptor)


def _response(descriptor: int) -> SpooledResponse | None:
    """None: nothing was written, or not to its end."""
    data = os.pread(descriptor, LANE_BYTES, 0)
    if len(data) < _HEADER.size:
        return None
    magic, length, sha256 = _HEADER.unpack_from(data)
    body = data[_HEADER.size : _HEADER.size + length]
    is_sound = magic == _MAGIC and len(body) == length and hashlib.sha256(body).digest() == sha256
    return _decoder.decode(zlib.decompress(body)) if is_sound else None


def _record(response: SpooledResponse) -> RequestRecord:
    usage = Usage(AUDIO_SECONDS, response.request.audio_s)
    if response.quantity is not None:
        usage = Usage(response.unit, response.quantity)
    of = (response.engine, response.model, usage, response.cost)
    item = WorkItem(response.key, response.file_sha256, 0, *of)
    claim = (response.worker_id, response.task_id)
    return RequestRecord(item, response.request, response.value, *claim)


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, LANE_BYTES)
        os.fsync(descriptor)
    except (AttributeError, OSError) as error:
        # macOS has no such call, some file systems do not support it.
        if isinstance(error, OSError) and error.errno not in _NO_FALLOCATE:
            raise
        write_all(descriptor, bytes(LANE_BYTES))
