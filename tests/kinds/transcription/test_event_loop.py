"""Long answers are examined beside the event loop: signals and other lanes are heard meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.models import Segment, Transcription, Upload
from sttbatch.core.options import RequestOptions
from tests.cloudru import make_recording
from tests.own_thread import run_here

from .harness import FakeEngine, opened


class LoopingEngine(FakeEngine):
    """Answers with one phrase again and again, then with what was said."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        answer = await super().transcribe(upload, options, record, stopped)
        said = answer.transcription.segments
        loop = Segment("and so on, " * 100, 0.0, said[0].start_s)
        return replace(answer, transcription=Transcription("", (loop, *said[1:])))


def test_no_answer_is_examined_or_merged_on_the_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=130, sample_rate=16_000, channels=1, silences=((0.0, 8.0),))

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
