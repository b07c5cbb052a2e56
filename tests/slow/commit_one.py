"""One commit in a process of its own, for `test_every_write`.

chunk DATA OUT      store the answer of one chunk
output DATA OUT     write one recording's outputs into OUT

Prints `ready` and its threads (name and id), waits for a line, commits, prints `stored` and ends
without another system call of those threads; or prints `failed` and why; or nothing, where an
output was kept because it could not be read. Each thread does what the same thread does in a run;
none of them has siblings.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from sttbatch.caching.result_cache import StoredChunk, decoded
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import open_caches, work_ledger
from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import SttbatchError
from sttbatch.core.jobs import TRANSCRIPTION, Claim, JobSpec
from sttbatch.core.models import Segment, Transcript, Transcription
from sttbatch.core.options import OutputOptions
from sttbatch.core.work import AUDIO_SECONDS, Answered, Granted, RequestRecord, Usage, WorkItem
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.workers import LedgerWorkers
from sttbatch.outputs.document import Document
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.worker import WorkerRegistry

KEY = "chunk:" + "c" * 64
FILE_SHA256 = "ab" * 32
TEXT = "the answer that was paid for"
ITEM = WorkItem(KEY, FILE_SHA256, 0, "cloudru", "whisper", Usage(AUDIO_SECONDS, 60.0), 0.6)
FORMATS = ("txt", "json")

_PR_SET_PTRACER = 0x59616D61

Pause = Callable[[], None]


def nothing() -> None:
    """Go on at once."""


def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="pool")


async def store_chunk(data: Path, pause: Pause = nothing, stored: Pause = nothing) -> str:
    """What a run does with one answer; returns the level that has it then."""
    settings = Settings(cache_dir=str(data / "cache"))
    database = open_ledger(data)
    workers = WorkerRegistry(LedgerWorkers(database), FileLocks(data))
    try:
        async with (
            open_caches(settings, database, no_warning) as caches,
            workers.registered() as me,
        ):
            await caches.levels.get("chunk:of another recording", FILE_SHA256)
            queue = JobQueue(LedgerJobs(database), workers)
            spec = JobSpec(TRANSCRIPTION, 1, {"recording": "talk.mp3"})
            job = await queue.jobs.enqueue(FILE_SHA256, 0, "request", spec)
            claim = await queue.claim(job.id, me)
            assert isinstance(claim, Claim)
            ledger = work_ledger(database, caches.ledger, me.id)
            granted = await ledger.claim(ITEM, claim.task_id)
            if isinstance(granted, Granted):
                pause()
                value = StoredChunk(Transcription(TEXT, ()), "copy", "verbose_json")
                stored_value = msgspec.json.encode(value)
                request = APIRequest(1.7e9, 1, 200, 2.0, 1000, 60.0, paid=True)
                await ledger.store(granted, RequestRecord(ITEM, request, stored_value, me.id))
                await caches.levels.fill_fronts(KEY, stored_value)
                stored()
            else:
                assert isinstance(granted, Answered)
            hit = await caches.levels.get(KEY, FILE_SHA256)
            assert hit is not None
            chunk = decoded(hit.value, StoredChunk)
            assert chunk is not None
            assert chunk.transcription.text == TEXT
            await queue.jobs.complete(claim)
            return hit.level
    finally:
        database.close()


def no_warning(_: str) -> None:
    """A front that fails is left out."""


async def write_output(
    data: Path, out: Path, text: str, pause: Pause = nothing, stored: Pause = nothing
) -> None:
    """What a run does with one finished recording."""
    asyncio.get_running_loop().set_default_executor(pool())
    database = open_ledger(data)
    try:
        writer = OutputWriter(OutputRegistry(SqlOutputStore(database)))
        options = OutputOptions(formats=FORMATS, directory=out)
        recording = Recording(data / "talk.mp3", data)
        await writer.plan([recording], options)
        pause()
        document = Document(
            "talk.mp3",
            FILE_SHA256,
            "whisper",
            "cloudru",
            Transcript(2.0, "en", (Segment(text, 0.0, 2.0),), ()),
            options,
        )
        written = await writer.write(document, recording.path)
        if not written.untouched:
            stored()
    finally:
        database.close()


def announce() -> None:
    """Say which threads there are, and wait for whoever wants to trace one of them."""
    threads = {thread.name: thread.native_id for thread in threading.enumerate()}
    sys.stdout.write(f"ready {json.dumps(threads)}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def leave() -> None:
    """It is stored, and whatever comes after that is no part of it."""
    sys.stdout.write("stored\n")
    sys.stdout.flush()
    os._exit(0)


def main(what: str, data: str, out: str) -> int:
    # Where only parents may trace, let a sibling.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1))
    try:
        if what == "chunk":
            asyncio.run(store_chunk(Path(data), announce, leave))
        else:
            asyncio.run(write_output(Path(data), Path(out), "new", announce, leave))
    except SttbatchError as error:
        sys.stdout.write(f"failed {type(error).__name__}: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
