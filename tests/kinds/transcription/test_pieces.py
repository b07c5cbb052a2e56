"""A chunk that the endpoint finds too large is sent in pieces."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

from msgspec.structs import replace

from sttbatch.core.errors import ChunkTooLarge
from sttbatch.core.events import (
    ChunkProcessingCompleted,
    ChunkProcessingStarted,
    ChunkSplit,
    Event,
)
from sttbatch.core.jobs import JobStatus
from sttbatch.core.models import ConcurrencyLimit, Upload, UploadCodec
from sttbatch.core.options import ChunkingOptions
from sttbatch.kinds.report import Outcome
from tests.cloudru import make_recording

from .harness import CONFIG, FakeEngine, Harness, opened

BETWEEN_THE_PIECES_BYTES = 1_150_000


def test_pieces_that_cannot_all_be_cut_leave_no_file_behind(tmp_path: Path) -> None:
    """The first fits where the second does not, as on a disk that fills."""
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=72, sample_rate=16_000, channels=1, silences=((33.0, 2.0),))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def too_large(upload: Upload) -> None:
        if upload.duration_s > 60:
            raise ChunkTooLarge("413")

    def make_tight(_run: Harness, event: Event) -> None:
        # For processes that start from now on.
        if isinstance(event, ChunkSplit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (BETWEEN_THE_PIECES_BYTES, usual[1]))

    engine = FakeEngine(too_large)

    async def main() -> None:
        chunking = ChunkingOptions(upload_codec=UploadCodec.WAV)
        config = replace(CONFIG, chunking=chunking, concurrency=ConcurrencyLimit(1))
        async with opened(tmp_path, engine, config=config, listener=make_tight) as run:
            try:
                report = await run.transcribe(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, usual)
            (ended,) = report.recordings
            assert ended.outcome is Outcome.FAILED
            assert "cutting it smaller failed" in ended.reason
            (job,) = await run.queue.jobs.list()
            assert job.status is JobStatus.QUEUED, "a full disk is no failure of its own"
            assert job.error_message == ended.reason
            assert list((tmp_path / "spool").iterdir()) == []

    asyncio.run(main())


def test_pieces_of_a_chunk_are_named_within_it_and_end(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=72, sample_rate=16_000, channels=1, silences=((33.0, 2.0),))

    async def too_large(upload: Upload) -> None:
        if upload.duration_s > 60:
            raise ChunkTooLarge("413")

    config = replace(CONFIG, concurrency=ConcurrencyLimit(1))

    async def main() -> list[Event]:
        async with opened(tmp_path, FakeEngine(too_large), config=config) as run:
            await run.transcribe(path)
            return run.events

    emitted = asyncio.run(main())
    started = [(e.index, e.piece) for e in emitted if isinstance(e, ChunkProcessingStarted)]
    ended = [(e.index, e.piece) for e in emitted if isinstance(e, ChunkProcessingCompleted)]
    assert started == [(0, None), (0, "1"), (0, "2")]
    assert ended == [(0, "1"), (0, "2"), (0, None)]
