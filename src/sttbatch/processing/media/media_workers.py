"""MediaWorkers: a pool of media worker processes, which may die."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from sttbatch.core.errors import MediaError, MediaHindered, MediaWorkerDied, NoAudioError
from sttbatch.core.models import AudioChunk, AudioFile
from sttbatch.processing.media import media_messages as messages
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.media.media_messages import Source, SplitPlan

ANSWER_WITHIN_S = 60.0
ANSWER_PER_MIB_S = 4.0
"""Wall seconds for one request: twice the limit of CPU time, and more for a busy machine."""

WORKERS = 2
LANES_A_WORKER = 2
"""When all lanes wait for their first chunks, one worker cuts for so many of them."""

# A decoder must not see secrets and settings.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH")


def workers_for(lanes: int) -> int:
    """How many workers feed so many lanes; more than the cores would only wait for each other."""
    is_known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if is_known else os.cpu_count() or 1
    return max(WORKERS, min(lanes // LANES_A_WORKER, cores))


class _MediaWorker:
    """A worker process, started on demand and again after it died."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def send(self, request: messages.Request, size_bytes: int) -> messages.Reply:
        """Send a request and wait for its reply.

        Raises:
            MediaError: the request failed.
            MediaWorkerDied: the process crashed or hung.
            MediaHindered: it could not be started, or there is no space for a chunk.
        """
        within_s = ANSWER_WITHIN_S + ANSWER_PER_MIB_S * (size_bytes / (1 << 20))
        try:
            async with asyncio.timeout(within_s):
                reply = await self._send(request)
        except TimeoutError as error:
            await self.stop()
            raise MediaWorkerDied(f"its decoder gave no answer within {within_s:.0f} s") from error
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError) as error:
            raise MediaWorkerDied(await self._cause_of_death()) from error
        except OSError as error:
            raise MediaHindered(f"no decoder could be started: {error.strerror}") from error
        except asyncio.CancelledError:
            # Otherwise the rest of a partly read reply would be taken for the next one.
            await self.stop()
            raise
        if isinstance(reply, messages.Failed):
            raise _error(reply)
        return reply

    async def start(self) -> None:
        """Start the process, so that it loads its libraries before the first request."""
        # A failure to start is reported by the first request.
        with contextlib.suppress(OSError):
            self._process = self._process or await _start()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _send(self, request: messages.Request) -> messages.Reply:
        process = self._process = self._process or await _start()
        assert process.stdin is not None
        assert process.stdout is not None
        data = messages.encoder.encode(request)
        # At once, so that the worker wakes once.
        process.stdin.write(messages.LENGTH.pack(len(data)) + data)
        await process.stdin.drain()
        (length,) = messages.LENGTH.unpack(await process.stdout.readexactly(messages.LENGTH.size))
        reply: messages.Reply = messages.reply_decoder.decode(
            await process.stdout.readexactly(length)
        )
        return reply

    async def _cause_of_death(self) -> str:
        process, self._process = self._process, None
        status = await process.wait() if process is not None else 0
        if status == -signal.SIGXCPU:
            return "its decoder used up its CPU time"
        if status == -signal.SIGKILL:
            return "its decoder was killed (out of memory?)"
        return f"its decoder crashed ({signal.Signals(-status).name if status < 0 else status})"


def _error(failed: messages.Failed) -> MediaError:
    if failed.hindered:
        return MediaHindered(failed.message)
    return NoAudioError(failed.message) if failed.no_audio else MediaError(failed.message)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith("PYTHON")
    }


# What it imports is no garbage, and looking for some would take a tenth of its start.
_PROGRAM = """\
import gc
gc.disable()
from sttbatch.processing.media.media_worker import main
main()
"""


async def _start() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        # -P: a file av.py in a folder of recordings must not be imported.
        "-P",
        "-c",
        _PROGRAM,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=_environment(),
        limit=1 << 20,
        # Ctrl-C in a terminal must reach the parent alone, as the current chunk is finished first.
        start_new_session=True,
    )


@dataclass(slots=True, eq=False)
class Cutting:
    """A recording that is cut by several plans in turn; `counted_s` is set after the last chunk."""

    worker: _MediaWorker
    source: Source
    spool: Path
    plans: Iterator[SplitPlan]
    counted_s: float | None = None
    _count: int = 0
    _is_open: bool = False
    _read_s: float = 0.0

    async def next(self) -> AudioChunk | None:
        """Cut the next chunk; None: there is none.

        Raises MediaError if the recording is damaged or changed, or its decoder died.
        """
        while (request := self._request()) is not None:
            reply = await self.worker.send(request, self.source.size_bytes)
            assert isinstance(reply, messages.CutChunk | messages.SplitFinished)
            self._is_open = reply.counted_s is None
            self._read_s = reply.counted_s or 0.0
            if isinstance(reply, messages.CutChunk):
                # Each plan counts from 0.
                span = replace(reply.chunk.span, index=self._count)
                self._count += 1
                return replace(reply.chunk, span=span)
        self.counted_s = self._read_s
        return None

    def _request(self) -> messages.Request | None:
        """What asks for the next chunk; None: the last plan is at its end."""
        if self._is_open:
            return messages.NextChunk()
        plan = next(self.plans, None)
        return None if plan is None else messages.Split(plan, self.source, str(self.spool))


class MediaWorkers:
    """Probes, measures and cuts at most `count` recordings at a time, the most urgent first.

    Chunks too large for a pipe are files in the folder `spool`, which their receiver removes. With
    `spare`, one more recording is cut if it is more urgent than all others: those may take hours.
    """

    def __init__(self, spool: Path, count: int = WORKERS, *, spare: bool = False) -> None:
        self.spool = spool
        self._workers = [_MediaWorker() for _ in range(count + spare)]
        self.count = count
        # The first is taken first, so that further processes are started only when they are needed.
        self._idle = list(self._workers)
        self._busy: list[int] = []
        self._waiters: list[tuple[int, int, asyncio.Future[_MediaWorker]]] = []
        self._arrivals = itertools.count()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def start(self, recordings: int) -> None:
        """Start the workers that so many recordings need, which load in the background."""
        for worker in self._workers[:recordings]:
            await worker.start()

    async def probe(self, path: Path, stream: int | None = 0) -> AudioFile:
        """Read a file's headers; without `stream`, those of the stream that is transcribed.

        Raises NoAudioError, or MediaError if it cannot be read.
        """
        (file,) = await self.probe_all([path], stream)
        if isinstance(file, MediaError):
            raise file
        return file

    async def probe_all(
        self, paths: Sequence[Path], stream: int | None = 0
    ) -> list[AudioFile | MediaError]:
        """As `probe`, of several files; an error that is raised concerns all of them."""
        reply = await self._send(messages.Probe(tuple(map(bytes, paths)), stream), 0)
        assert isinstance(reply, messages.ProbedAll)
        return [
            _error(each) if isinstance(each, messages.Failed) else each.file for each in reply.files
        ]

    async def measure(
        self, source: Source, spans: Sequence[Span], within: Sequence[Span] = ()
    ) -> messages.Measured:
        """Measure the loudness of spans, and look for speech `within` others; nothing else is read.

        Either are in order and disjoint. Raises MediaError if the source cannot be read.
        """
        request = messages.Measure(tuple(spans), source, tuple(within))
        reply = await self._send(request, source.size_bytes)
        assert isinstance(reply, messages.Measured)
        return reply

    @contextlib.asynccontextmanager
    async def split(
        self, source: Source, *plans: SplitPlan, urgency: int = 0
    ) -> AsyncIterator[Cutting]:
        """Reserve a worker to cut `source`, which is read once for each plan."""
        async with self._reserved(urgency) as worker:
            yield Cutting(worker, source, self.spool, iter(plans))

    async def _send(self, request: messages.Request, size_bytes: int) -> messages.Reply:
        async with self._reserved(0) as worker:
            return await worker.send(request, size_bytes)

    @contextlib.asynccontextmanager
    async def _reserved(self, urgency: int) -> AsyncIterator[_MediaWorker]:
        waiter: asyncio.Future[_MediaWorker] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (-urgency, next(self._arrivals), waiter))
        self._serve_waiters()
        try:
            worker = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._release(waiter.result(), urgency)
            raise
        try:
            yield worker
        finally:
            self._release(worker, urgency)

    def _release(self, worker: _MediaWorker, urgency: int) -> None:
        self._busy.remove(urgency)
        self._idle.insert(0, worker)
        self._serve_waiters()

    def _serve_waiters(self) -> None:
        while self._waiters and self._idle:
            urgency = -self._waiters[0][0]
            if len(self._busy) >= self.count and urgency <= max(self._busy):
                return
            waiter = heapq.heappop(self._waiters)[2]
            # Cancelled waiters are skipped.
            if not waiter.done():
                self._busy.append(urgency)
                waiter.set_result(self._idle.pop(0))


async def codec_report() -> str:
    """Check the codecs of PyAV in a separate process; raises MediaError if one is missing."""
    program = (
        "import av; from av.codec import Codec\n"
        "missing = []\n"
        "for each in 'mp3 r,aac r,opus r,vorbis r,flac r,flac w,libopus w'.split(','):\n"
        "    try: Codec(*each.split())\n"
        "    except Exception: missing.append(each)\n"
        "print(av.__version__, ','.join(missing))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", program, stdout=PIPE, stderr=DEVNULL, env=_environment()
    )
    output, _ = await process.communicate()
    version, _, missing = output.decode().strip().partition(" ")
    if process.returncode != 0 or missing:
        raise MediaError(f"PyAV cannot be used (missing: {missing or 'itself'}); reinstall av")
    return f"PyAV {version} reads mp3, aac, opus, vorbis, flac and wav"
