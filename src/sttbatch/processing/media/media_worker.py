"""A media worker process: python -m sttbatch.processing.media.media_worker.

It serves one request after another and holds one recording at a time. Whatever a hostile file does
to a decoder happens in here, under limits on memory and CPU time.
"""

from __future__ import annotations

import gc
import io
import os
import resource
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import av.logging

from sttbatch.core.errors import MediaError, NoAudioError
from sttbatch.core.models import AudioChunk, Upload
from sttbatch.processing.media.container_quirks import declared_bytes, lacks_length
from sttbatch.processing.media.loudness_probe import measure
from sttbatch.processing.media.media_messages import (
    LENGTH,
    SPOOL_BYTES,
    CutChunk,
    Failed,
    FileState,
    Measure,
    Measured,
    NextChunk,
    Probe,
    Probed,
    Reply,
    Request,
    Split,
    SplitFinished,
    SplitOpened,
    encoder,
    request_decoder,
)
from sttbatch.processing.media.splitter import Piece, Splitter
from sttbatch.processing.media.track import Track

MEMORY_LIMIT_BYTES = 1 << 30
"""Limit on the address space; the libraries alone map a fifth of it."""

CPU_BASE_S = 10
CPU_PER_MIB_S = 2
"""CPU seconds that one request may take: Opus needs 37 for an hour of audio, of 14 MiB or more."""

_CHANGED = "it changed while it was read; try again when nothing writes to it"


def cpu_budget_s(size_bytes: int) -> int:
    """CPU seconds that one request about a file of this size may take."""
    return CPU_BASE_S + CPU_PER_MIB_S * (size_bytes >> 20)


class SplitSession:
    """A recording that is being cut."""

    def __init__(self, request: Split) -> None:
        self._request = request
        self._file = _opened(request)
        try:
            self._check_unchanged()
            self.size_bytes = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            self._track = Track(self._file, request.stream)
            self._splitter = Splitter(self._track, request.plan)
        except BaseException:
            self._file.close()
            raise
        self._pieces = self._splitter.pieces()

    def next(self) -> Reply:
        piece = next(self._pieces, None)
        # Before each reply: a chunk of changed content must not be stored as one of this file.
        self._check_unchanged()
        if piece is not None:
            return CutChunk(self._chunk(piece))
        return SplitFinished(self._splitter.counted_s)

    def close(self) -> None:
        self._track.__exit__()
        self._file.close()

    def _chunk(self, piece: Piece) -> AudioChunk:
        container = self._splitter.buffer.container
        data: bytes | None = piece.media.data
        path = None
        if len(piece.media.data) > SPOOL_BYTES:
            path, data = _spool(piece.media.data, self._request.spool), None
        upload = Upload(
            filename=f"chunk-{piece.span.index:04}.{container.suffix}",
            content_type=container.content_type,
            codec=self._splitter.buffer.codec_name,
            duration_s=piece.media.duration_s,
            size_bytes=len(piece.media.data),
            data=data,
            path=path,
        )
        return AudioChunk(piece.span, piece.media.audio_sha256, upload, piece.silent)

    def _check_unchanged(self) -> None:
        if self._request.state is not None and _state(self._file) != self._request.state:
            raise MediaError(_CHANGED)


def _spool(data: bytes, folder: str) -> str:
    path = None
    try:
        descriptor, path = tempfile.mkstemp(prefix="chunk-", dir=folder)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(data)
    except OSError as error:
        if path is not None:
            Path(path).unlink(missing_ok=True)
        raise MediaError(
            f"a chunk of it cannot be stored in {folder}: {error.strerror}; make room there"
        ) from error
    return path


def _opened(request: Split | Measure) -> BinaryIO:
    if request.path is not None:
        return _open_regular(request.path)
    return io.BytesIO(request.data or b"")


def _open_regular(path: bytes) -> BinaryIO:
    # O_NONBLOCK: opening a named pipe would wait for its writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(f"it cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoAudioError("it is not a regular file")
    return os.fdopen(descriptor, "rb")


def _state(file: BinaryIO) -> FileState:
    status = os.fstat(file.fileno())
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def _inspect(request: Probe | Measure) -> Reply:
    return _probe(request) if isinstance(request, Probe) else _measure(request)


def _probe(request: Probe) -> Reply:
    with _open_regular(request.path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise MediaError("it is empty")
        _allow(size)
        estimated, declared = lacks_length(file), declared_bytes(file)
        with Track(file, request.stream) as track:
            found = track.audio_file(size, duration_is_estimate=estimated, stream=request.stream)
        if declared > size:
            # libavformat quietly takes the end of the file for the end of the recording.
            found = replace(found, duration_s=found.duration_s * declared / size)
        return Probed(found)


def _measure(request: Measure) -> Reply:
    with _opened(request) as file:
        _allow(file.seek(0, os.SEEK_END))
        file.seek(0)
        with Track(file) as track:
            levels = measure(track, request.spans)
            return Measured(levels, track.time_base, track.origin_pts)


def _allow(size_bytes: int) -> None:
    """Limit the CPU time of the next request."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _limit(resource.RLIMIT_CPU, used + cpu_budget_s(size_bytes))


def _limit(kind: int, value: int) -> None:
    """Set a soft limit, no higher than the hard limit."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _requests(source: BinaryIO) -> Iterator[Request]:
    while prefix := source.read(LENGTH.size):
        (length,) = LENGTH.unpack(prefix)
        yield request_decoder.decode(source.read(length))


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Serve requests until the parent closes the pipe."""
    session: SplitSession | None = None
    for request in _requests(source):
        try:
            if isinstance(request, NextChunk):
                assert session is not None
                _allow(session.size_bytes)
                reply = session.next()
            else:
                if session is not None:
                    session.close()
                    session = None
                _allow(0)
                if isinstance(request, Split):
                    session = SplitSession(request)
                    reply = SplitOpened()
                else:
                    reply = _inspect(request)
        except MediaError as error:
            reply = Failed(str(error), isinstance(error, NoAudioError))
        except MemoryError:
            reply = Failed(f"it needs more than {MEMORY_LIMIT_BYTES >> 20} MiB to decode")
        except OSError as error:
            reply = Failed(f"it cannot be read: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - a decoder's surprise ends this recording only
            reply = Failed(f"it cannot be decoded: {type(error).__name__}: {error}")
        if session is not None and isinstance(reply, SplitFinished | Failed):
            # The recording is not needed while the worker waits for its next request.
            session.close()
            session = None
        data = encoder.encode(reply)
        sink.write(LENGTH.pack(len(data)))
        sink.write(data)
        sink.flush()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    av.logging.set_level(None)
    # Whatever a library prints must not mix with the messages.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # A chunk is ten thousand packets: each thousand would make the collector search all of this.
    gc.freeze()
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
