"""Room for the answers in flight, reserved before they are asked for."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.options import MIB
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
        worker_id: the process that sent it.
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


_decoder = msgspec.msgpack.Decoder(SpooledResponse)


@dataclass(slots=True)
class _Lane:
    """A reserved file, locked for as long as its descriptor is open."""

    path: Path
    descriptor: int
    used: bool = False


class ResponseSpool:
    """A preallocated file for each lane; writing into one needs no space that is not there.

    Everything here blocks: reserving happens before anything is sent, and keeping only once the
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
        """Have a file of `LANE_BYTES` for every lane; does nothing once they are there.

        Raises:
            StateError: there is no room for them; the message says how much is needed.
        """
        if self._lanes:
            return
        private_folder(self.folder)
        try:
            for _ in range(self._count):
                path, descriptor = create_locked(self._new_path, 0o600)
                self._lanes.append(_Lane(path, descriptor))
                _allocate(descriptor)
            flush_folder(self.folder)
        except OSError as error:
            self._give_back()
            raise StateError(
                f"{self.folder}: nothing is sent without room for the answers, "
                f"{self._count * LANE_BYTES // MIB} MiB: {error.strerror}; "
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

    def left_behind(self) -> Generator[SpooledResponse, None, None]:
        """What runs that are over have kept; each file is removed when the next one is asked for.

        Files that cannot be read stay, as do those that another version wrote.
        """
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError), locked_if_free(path) as descriptor:
                body = _sound_body(os.pread(descriptor, LANE_BYTES, 0))
                if body is not None:
                    try:
                        answer = _decoder.decode(zlib.decompress(body))
                    except (msgspec.DecodeError, zlib.error):
                        continue
                    yield answer
                path.unlink()

    async def aclose(self) -> None:
        """Give back what was reserved; what holds an answer stays for the next run."""
        self._give_back()

    def _new_path(self) -> Path:
        return self.folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"

    def _give_back(self) -> None:
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            if not lane.used:
                with contextlib.suppress(OSError):
                    lane.path.unlink(missing_ok=True)
            os.close(lane.descriptor)


def _sound_body(data: bytes) -> bytes | None:
    """None: nothing was written, or not to its end."""
    if len(data) < _HEADER.size:
        return None
    magic, length, sha256 = _HEADER.unpack_from(data)
    body = data[_HEADER.size : _HEADER.size + length]
    is_sound = magic == _MAGIC and len(body) == length and hashlib.sha256(body).digest() == sha256
    return body if is_sound else None


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, LANE_BYTES)
        os.fsync(descriptor)
    except (AttributeError, OSError) as error:
        # macOS has no such call, some file systems do not support it.
        if isinstance(error, OSError) and error.errno not in _NO_FALLOCATE:
            raise
        write_all(descriptor, bytes(LANE_BYTES))
