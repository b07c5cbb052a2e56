"""A recording through the splitter, the tone recogniser and the merger, as a run would do it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sttbatch.core.models import AudioChunk, Segment, Transcript, Transcription, UploadCodec, Word
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.media_messages import SplitPlan
from sttbatch.processing.media.splitter import Splitter
from sttbatch.processing.media.track import Track
from sttbatch.processing.transcript.result_merger import ChunkOutcome, ResultMerger
from tests.cloudru import HeardWord, hear

MIB = 1024 * 1024
WORDS_PER_SEGMENT = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """What came of one recording."""

    pieces: tuple[AudioChunk, ...]
    counted_s: float
    declared_s: float


def plan_for(
    target_s: float,
    *,
    declared_s: float = 0.0,
    codec: UploadCodec = UploadCodec.COPY,
    max_bytes: int = 24 * MIB,
) -> SplitPlan:
    return SplitPlan(target_s, max_bytes, codec, declared_s)


def declared_s(source: Path | bytes) -> float:
    data = source if isinstance(source, bytes) else source.read_bytes()
    with Track(Demuxer(io.BytesIO(data))) as track:
        return track.audio_file(duration_is_estimate=False).duration_s


def cut(source: Path | bytes, plan: SplitPlan, stream: int = 0) -> Cut:
    """All pieces of a file, or of one that is in memory."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with Track(Demuxer(io.BytesIO(data), stream)) as track:
        splitter = Splitter(track, plan)
        pieces = tuple(splitter.chunks())
        return Cut(pieces, splitter.counted_s, plan.declared_s)


def outcomes(pieces: Iterable[AudioChunk], *, word_times: bool = True) -> list[ChunkOutcome]:
    return [ChunkOutcome(piece.span, transcription(piece, word_times)) for piece in pieces]


def merged(pieces: Iterable[AudioChunk], *, word_times: bool = True) -> Transcript:
    return ResultMerger().merge(outcomes(pieces, word_times=word_times), 0.0)


def words_of(transcript: Transcript) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


def transcription(piece: AudioChunk, word_times: bool = True) -> Transcription:
    """What the tone recogniser hears in the upload, in segments of a few words."""
    heard = hear(piece.upload.open().read()).words
    groups = [heard[at : at + WORDS_PER_SEGMENT] for at in range(0, len(heard), WORDS_PER_SEGMENT)]
    segments = tuple(_segment(group, word_times) for group in groups)
    return Transcription(" ".join(s.text for s in segments), segments, "en")


def _segment(heard: Sequence[HeardWord], word_times: bool) -> Segment:
    words = tuple(Word(word.text, word.start_s, word.end_s) for word in heard)
    text = " ".join(word.text for word in words)
    return Segment(text, words[0].start_s, words[-1].end_s, words if word_times else ())


def assert_says(transcript: Transcript, truth: Sequence[HeardWord], within_s: float = 0.03) -> None:
    """Every word once, in order, where it was said."""
    said = words_of(transcript)
    assert [word.text for word in said] == [word.text for word in truth]
    late = {
        word.text: (word.start_s - true.start_s, word.end_s - true.end_s)
        for word, true in zip(said, truth, strict=True)
        if max(abs(word.start_s - true.start_s), abs(word.end_s - true.end_s)) > within_s
    }
    assert late == {}
