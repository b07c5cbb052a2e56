"""A media worker process: python -m sttbatch.processing.media.media_worker.

It serves one request after another and has one recording open at a time. A malicious file can harm
only this process, which has limits on memory and CPU time.
"""

from __future__ import annotations

import ctypes
import gc
import io
import math
import os
import resource
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import av.logging
from msgspec.structs import replace

from sttbatch.core.errors import MediaError, MediaHindered, NoAudioError
from sttbatch.core.memory import release_freed_memory
from sttbatch.core.models import AudioChunk, AudioFile
from sttbatch.processing.media import measuring, timeline
from sttbatch.processing.media import media_messages as messages
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.media_messages import LENGTH, Reply, Source
from sttbatch.processing.media.opening import audio_streams
from sttbatch.processing.media.speech import detector
from sttbatch.processing.media.splitter import Splitter
from sttbatch.processing.media.stream_choice import StreamChoice, choose_stream
from sttbatch.processing.media.track import Track

MEMORY_LIMIT_BYTES = 1 << 30
"""Limit on the address space; the libraries alone map a fifth of it."""

CPU_BASE_S = 10
CPU_PER_MIB_S = 2
"""CPU seconds that one request may take: Opus needs 37 for an hour of audio, of 14 MiB or more."""

CPU_PER_SEARCHED_S = 0.1
"""CPU seconds for a second of one channel: the slower detector takes 0.05."""


_LARGE_BYTES = 16 << 20
"""The packets of a larger recording leave the C library with megabytes in small pieces."""


def _split(request: messages.Split) -> Iterator[Reply]:
    """Open a recording, then cut the next chunk each time that another reply is needed."""
    try:
        yield from _cut_chunks(request)
    finally:
        if request.source.size_bytes > _LARGE_BYTES:
            release_freed_memory()


def _cut_chunks(request: messages.Split) -> Iterator[Reply]:
    with _opened(request.source) as file:
        _check_unchanged(file, request.source)
        demuxer = Demuxer(file, request.source.stream, is_plain_wav=request.plan.is_plain_wav)
        with Track(demuxer) as track:
            splitter = Splitter(track, request.plan)
            chunks = splitter.chunks()
            while True:
                _allow(track.size_bytes)
                chunk = next(chunks, None)
                # A chunk of changed content must not be stored as one of this file.
                _check_unchanged(file, request.source)
                if chunk is None:
                    break
                counted_s = splitter.counted_s if splitter.is_at_end else None
                chunk = _spooled(chunk, request.spool)
                yield messages.CutChunk(chunk, counted_s)
                # Its bytes are not needed while the next one is cut.
                del chunk
            yield messages.SplitFinished(splitter.counted_s)


def _spooled(chunk: AudioChunk, folder: str) -> AudioChunk:
    """The chunk, whose data goes to a file in `folder` if it is large."""
    if chunk.upload.size_bytes <= messages.SPOOL_BYTES:
        return chunk
    path = None
    try:
        descriptor, path = tempfile.mkstemp(prefix="chunk-", dir=folder)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(chunk.upload.data or b"")
    except OSError as error:
        if path is not None:
            Path(path).unlink(missing_ok=True)
        raise MediaHindered(
            f"a chunk of it cannot be stored in {folder}: {error.strerror}; free some space"
        ) from error
    return replace(chunk, upload=replace(chunk.upload, data=None, path=path))


def _opened(source: Source) -> BinaryIO:
    return _open_regular(source.path) if source.path is not None else io.BytesIO(source.data or b"")


def _open_regular(path: bytes) -> BinaryIO:
    # O_NONBLOCK: opening a named pipe would wait for its writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(f"it cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoAudioError("it is not a regular file; save its content to one")
    return os.fdopen(descriptor, "rb")


def _check_unchanged(file: BinaryIO, source: Source) -> None:
    if source.state is None:
        return
    status = os.fstat(file.fileno())
    if source.state != (status.st_size, status.st_mtime_ns, status.st_ino):
        raise MediaError("it changed while it was read; try again when nothing writes to it")


def _probe(path: bytes, stream: int | None) -> AudioFile:
    with _open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise MediaError("it is empty")
        _allow(size)
        estimated, declared = _lacks_length(file), _declared_bytes(file)
        choice = StreamChoice(stream or 0)
        demuxer = Demuxer(file, choice.stream)
        if stream is None and len(audio_streams(demuxer.container)) > 1:
            demuxer.close()
            choice = choose_stream(file)
            demuxer = Demuxer(file, choice.stream)
        with Track(demuxer) as track:
            audio_file = track.audio_file(duration_is_estimate=estimated)
        audio_file = replace(audio_file, also_heard=choice.others, has_speech=choice.has_speech)
    if declared > size and not timeline.is_untrue(declared, size):
        # libavformat takes the end of a truncated file for the end of the recording.
        audio_file = replace(audio_file, duration_s=audio_file.duration_s * declared / size)
    return audio_file


def _probe_all(request: messages.Probe) -> Reply:
    files: list[messages.Probed | messages.Failed] = []
    for path in request.paths:
        try:
            files.append(messages.Probed(_probe(path, request.stream)))
        except Exception as error:  # noqa: BLE001 - only this recording fails
            files.append(_failed(error))
    return messages.ProbedAll(tuple(files))


def _lacks_length(file: BinaryIO) -> bool:
    """Whether this is MPEG or AAC audio without a header that states its length."""
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # ID3v2: seven bits in each of four bytes, plus the header itself.
        a, b, c, d = head[6:10]
        start = 10 + (a << 21 | b << 14 | c << 7 | d)
    file.seek(start)
    frame = file.read(4096)
    file.seek(0)
    is_frame = len(frame) > 1 and frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0
    return is_frame and not any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def _declared_bytes(file: BinaryIO) -> int:
    """The size in bytes that a RIFF file (WAV, AVI) declares; 0: none is declared."""
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    return int.from_bytes(head[4:8], "little") + 8 if head[:4] == b"RIFF" else 0


def _measure(request: messages.Measure) -> Reply:
    _allow(request.source.size_bytes)
    stream = request.source.stream
    with _opened(request.source) as file:
        _check_unchanged(file, request.source)
        with Track(Demuxer(file, stream)) as track:
            levels = measuring.levels(track, request.spans)
        with Track(Demuxer(file, stream)) as track:
            voices = measuring.voices(track, request.within)
            return messages.Measured(levels, voices, track.time_base, track.origin_pts)


def _replies(request: messages.Request) -> Iterator[Reply]:
    """Yield the reply to a request and, after Split, those to each NextChunk."""
    if isinstance(request, messages.Split):
        yield from _split(request)
    elif isinstance(request, messages.Measure):
        yield _measure(request)
    elif isinstance(request, messages.Probe):
        yield _probe_all(request)


def _allow(size_bytes: int) -> None:
    """Limit the CPU time of the next request, about a file of this size."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    budget = CPU_BASE_S + CPU_PER_MIB_S * (size_bytes >> 20)
    _limit(resource.RLIMIT_CPU, used + budget)


def _allow_search(audio_s: float) -> None:
    """Allow the CPU time that the speech detector takes, which no size of a file bounds."""
    limit, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if limit != resource.RLIM_INFINITY:
        _limit(resource.RLIMIT_CPU, limit + math.ceil(audio_s * CPU_PER_SEARCHED_S))


def _limit(kind: int, value: int) -> None:
    """Set a soft limit, no higher than the hard limit."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _failed(error: Exception) -> messages.Failed:
    if isinstance(error, MediaError):
        kinds = isinstance(error, NoAudioError), isinstance(error, MediaHindered)
        return messages.Failed(str(error), *kinds)
    if isinstance(error, MemoryError):
        return messages.Failed(f"it needs more than {MEMORY_LIMIT_BYTES >> 20} MiB to decode")
    if isinstance(error, OSError):
        return messages.Failed(f"it cannot be read: {error.strerror or error}")
    return messages.Failed(f"it cannot be decoded: {type(error).__name__}: {error}")


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Serve requests until the parent closes the pipe."""
    replies: Iterator[Reply] = iter(())
    while prefix := source.read(LENGTH.size):
        (length,) = LENGTH.unpack(prefix)
        request: messages.Request = messages.request_decoder.decode(source.read(length))
        reply: Reply
        try:
            if not isinstance(request, messages.NextChunk):
                _allow(0)
                replies = _replies(request)
            reply = next(replies)
        except Exception as error:  # noqa: BLE001 - only this recording fails
            reply = _failed(error)
        is_last = isinstance(reply, messages.CutChunk) and reply.counted_s is not None
        if is_last or isinstance(reply, messages.SplitFinished | messages.Failed):
            # The recording is not needed while the worker waits for its next request.
            replies = iter(())
        data = messages.encoder.encode(reply)
        sink.write(LENGTH.pack(len(data)))
        sink.write(data)
        sink.flush()


def _count_one_cpu() -> None:
    """Have libav start no threads: each encoder and resampler would start one for each CPU.

    That only costs more than it does, so that builds of PyAV without the function do as well.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(av.logging.__file__).av_cpu_force_count(1)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    av.logging.set_level(None)
    _count_one_cpu()
    # Output of libraries must not mix with the messages.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    detector.before = _allow_search
    # A chunk has ten thousand packets; without this, each thousand would cost a full collection.
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
