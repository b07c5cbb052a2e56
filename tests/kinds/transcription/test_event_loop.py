"""Long answers are examined beside the event loop: signals and other lanes are heard meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.models import (
    DroppedSegment,
    Segment,
    Transcript,
    Transcription,
    Upload,
    Word,
)
from sttbatch.core.options import RequestOptions
from tests.cloudru import make_recording
from tests.own_thread import run_here

from .harness import FakeEngine, opened


class LoopingEngine(FakeEngine):
    """Answers with one phrase again and again, then with what was said."""

    def __init__(self, times: int = 100) -> None:
        super().__init__()
        self._phrase = "and so on, " * times

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        answer = await super().transcribe(upload, options, record, stopped)
        said = answer.transcription.segments
        loop = Segment(self._phrase, 0.0, said[0].start_s)
        return replace(answer, transcription=Transcription("", (loop, *said[1:])))


def test_no_long_answer_is_examined_or_merged_on_the_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=300, sample_rate=16_000, channels=1, silences=((0.0, 8.0),))

    async def main() -> None:
        async with opened(tmp_path, LoopingEngine()) as run:
            await run.transcribe(path)
        async with opened(tmp_path, LoopingEngine()) as again:
            await again.transcribe(path)

    here = run_here(lambda: asyncio.run(main()))
    assert "gap_repair.repair" in here
    slow = {
        "gap_detection.is_loop", "gap_detection.suspect_spans", "gap_repair._examined",
        "result_merger.merge", "result_merger.compressed",
        "result_cache.encode_transcript", "result_cache.decode_transcript",
    }  # fmt: skip
    assert here & slow == set()


def test_a_short_recording_with_a_long_answer_is_not_examined_on_the_event_loop(
    tmp_path: Path,
) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=20, sample_rate=16_000, channels=1, silences=((0.0, 8.0),))

    async def main() -> None:
        async with opened(tmp_path, LoopingEngine(400)) as run:
            await run.transcribe(path)

    here = run_here(lambda: asyncio.run(main()))
    assert "gap_repair.repair" in here
    slow = {"gap_detection.suspect_spans", "gap_repair._examined"}
    assert here & slow == set()


def test_what_is_short_is_measured_by_all_of_its_text() -> None:
    word = Word("word", 0.0, 0.1)
    said = Segment("word", 0.0, 1.0, (word,))
    short = Transcription("word", (said,))
    assert short.is_short
    for long in (
        replace(short, text="w" * 5000),
        replace(short, segments=(replace(said, text="w" * 5000),)),
        replace(short, segments=(replace(said, words=(replace(word, text="w" * 5000),)),)),
        replace(short, segments=(replace(said, words=(word,) * 5000),)),
        replace(short, segments=(Segment("", 0.0, 0.0),) * 5000),
    ):
        assert not long.is_short
    transcript = Transcript(1.0, "en", (said,), ())
    assert transcript.is_short
    dropped = DroppedSegment(replace(said, text="w" * 5000), ())
    assert not replace(transcript, dropped=(dropped,)).is_short
