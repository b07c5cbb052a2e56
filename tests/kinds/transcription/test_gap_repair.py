"""What gap repair may send again, and to whom the words belong that come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.caching.result_cache import StoredChunk, decoded
from sttbatch.core.events import (
    APIRequestCompleted,
    ChunkProcessingCompleted,
    ChunkProcessingStarted,
    Event,
)
from sttbatch.core.models import ChannelMode, ConcurrencyLimit, Upload, UploadCodec
from sttbatch.core.options import ChunkingOptions, RunOptions
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.kinds.transcription.spec import RunConfig
from tests.calls import make_call
from tests.cloudru import make_recording
from tests.remuxing import remux
from tests.shell import load, texts, words_of

from .harness import CONFIG, FakeEngine, opened


class Pipe:
    """Takes bytes and never goes back: what is written to it has no length in its header."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def streamed(path: Path) -> bytes:
    """A recording as a browser records it."""
    pipe = Pipe()
    remux(path, pipe, "matroska")
    return bytes(pipe.data)


def transcribed(path: Path, folder: Path, engine: FakeEngine, config: RunConfig) -> BatchReport:
    async def main() -> BatchReport:
        async with opened(folder, engine, config=config) as run:
            return await run.transcribe(path)

    return asyncio.run(main())


@pytest.mark.slow
def test_the_share_of_a_recording_without_a_declared_length_is_of_what_was_cut(
    tmp_path: Path,
) -> None:
    """Its first chunks are audited long before its end is known."""
    said = make_recording(tmp_path / "whole.mkv", duration_s=240, sample_rate=16_000, channels=1)
    path = tmp_path / "talk.mkv"
    path.write_bytes(streamed(tmp_path / "whole.mkv"))
    config = replace(
        CONFIG,
        chunking=ChunkingOptions(target_duration_s=35),
        concurrency=ConcurrencyLimit(1),
    )
    engine = FakeEngine(lost=(12.0, 16.0))
    report = transcribed(path, tmp_path, engine, config)
    assert [(each.outcome, each.reason) for each in report.recordings] == [(Outcome.DONE, "")]
    assert len(engine.sent) > 2 * 5
    assert words_of(path.with_suffix(".json")) == texts(said)


def test_what_a_first_ask_brought_is_kept_where_nothing_can_be_cut_for_a_second(
    tmp_path: Path,
) -> None:
    path = tmp_path / "talk.wav"
    said = make_recording(path, duration_s=60, sample_rate=16_000, channels=1)
    config = replace(
        CONFIG,
        chunking=ChunkingOptions(upload_codec=UploadCodec.WAV),
        run=RunOptions(audit_share=1.0, vad=False),
        concurrency=ConcurrencyLimit(1),
    )

    async def lose(upload: Upload) -> None:
        """The chunk's temporary file, while its first piece is under way."""
        if len(engine.sent) == 2:
            assert engine.sent[0].path is not None
            await asyncio.to_thread(Path(engine.sent[0].path).unlink)

    engine = FakeEngine(before=lose, lost=(12.0, 36.0), losing_s=20.0)
    report = transcribed(path, tmp_path, engine, config)
    assert len(engine.sent) == 2
    assert [each.outcome for each in report.recordings] == [Outcome.FAILED]
    document = load(path.with_suffix(".json"))
    (gap,) = document["gaps"]
    assert gap["reason"] == "still_missing"
    assert "cut out" in gap["detail"]
    assert 22 < gap["start"] < 26 and 34 < gap["end"] < 38  # noqa: PT018 - one stretch
    heard = words_of(path.with_suffix(".json"))
    assert heard == sorted(set(heard))
    outside = {w.text for w in said if w.end_s < gap["start"] or w.start_s > gap["end"]}
    # Words at its ends may be heard from either side.
    assert outside <= set(heard)
    assert len(heard) <= len(outside) + 2


def test_a_channel_that_was_cut_by_another_version_keeps_its_speaker(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    make_call(path, {"duration_s": 33.0}, {"duration_s": 33.0, "lead_silence_s": 0.9})
    split = replace(CONFIG, chunking=ChunkingOptions(channels=ChannelMode.SPLIT))
    engine = FakeEngine(lost=(12.0, 16.0))
    transcribed(path, tmp_path, engine, replace(split, run=RunOptions(audit=False, vad=False)))
    assert len(engine.sent) == 2
    before = load(path.with_suffix(".json"))["segments"]

    async def main() -> BatchReport:
        async with opened(tmp_path, engine, config=split) as run:
            rows = await run.database.read(
                lambda db: db.execute("SELECT file_sha256, chunk_key FROM cuts").fetchall()
            )
            for number, (sha256, key) in enumerate(rows):
                (stored,) = await run.database.read(
                    lambda db, key=key: db.execute(  # type: ignore[misc]
                        "SELECT value FROM cache_entries WHERE key = ?", (key,)
                    ).fetchone()
                )
                value = decoded(stored, StoredChunk)
                assert value is not None
                await run.results.store(f"chunk:{number}", value, sha256)
            await run.database.write(
                lambda db: db.executemany(
                    "UPDATE cuts SET chunk_key = ? WHERE chunk_key = ?",
                    [(f"chunk:{number}", key) for number, (_, key) in enumerate(rows)],
                )
            )
            return await run.transcribe(path)

    report = asyncio.run(main())
    assert [each.outcome for each in report.recordings] == [Outcome.DONE]
    assert len(engine.sent) == 2
    after = load(path.with_suffix(".json"))["segments"]
    assert [(each["speaker"], each["text"]) for each in after] == [
        (each["speaker"], each["text"]) for each in before
    ]


def test_pieces_have_names_of_their_own_and_end(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=75, sample_rate=16_000, channels=1)
    config = replace(
        CONFIG,
        chunking=ChunkingOptions(target_duration_s=35),
        run=RunOptions(audit_share=1.0, vad=False),
    )
    engine = FakeEngine(lost=(12.0, 16.0), losing_s=20.0)

    async def main() -> tuple[list[Event], list[int]]:
        async with opened(tmp_path, engine, config=config) as run:
            await run.transcribe(path)
            rows = await run.database.read(
                lambda db: db.execute("SELECT chunk_index FROM chunk_tasks").fetchall()
            )
            return run.events, sorted(index for (index,) in rows)

    emitted, indexes = asyncio.run(main())
    started = Counter((e.index, e.piece) for e in emitted if isinstance(e, ChunkProcessingStarted))
    ended = Counter((e.index, e.piece) for e in emitted if isinstance(e, ChunkProcessingCompleted))
    answered = Counter((e.index, e.piece) for e in emitted if isinstance(e, APIRequestCompleted))
    assert started == ended == answered
    assert set(started.values()) == {1}
    chunks = [index for index, piece in started if piece is None]
    assert sorted(chunks) == list(range(len(chunks)))
    assert len(chunks) > 1
    assert {piece for _, piece in started} == {None, "gap-1"}
    assert indexes == sorted(index for index, _ in started)


def test_silence_does_not_make_a_cached_recording_count_as_transcribed(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=110, sample_rate=16_000, channels=1, silences=((30.0, 75.0),))
    config = replace(CONFIG, chunking=ChunkingOptions(target_duration_s=30))
    engine = FakeEngine()
    first = transcribed(
        path, tmp_path, engine, replace(config, run=RunOptions(audit=False, vad=False))
    )
    assert [each.cached for each in first.recordings] == [False]
    sent = len(engine.sent)
    # The transcript's key has the mode in it, so this one is merged anew.
    second = transcribed(path, tmp_path, engine, config)
    assert len(engine.sent) == sent
    chunks = load(path.with_suffix(".json"))["chunks"]
    assert {"no_speech", "ok"} <= {each["status"] for each in chunks}
    assert [(each.outcome, each.cached) for each in second.recordings] == [(Outcome.DONE, True)]
