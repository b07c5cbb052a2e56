"""RepairAudio: the audio of a chunk that gap repair measures, searches and sends again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.models import MIXED, AudioChunk, CutPoint, UploadCodec
from sttbatch.core.options import MIB
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber, source_of
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.processing.media.loudness import LoudnessLevels, Span, merge_spans
from sttbatch.processing.media.media_messages import Measured, SplitPlan, Voice
from sttbatch.processing.transcript.gap_detection import PIECE_S
from sttbatch.processing.transcript.timestamps import TimestampAdjuster

_ADJUSTER = TimestampAdjuster()


class RepairAudio(Struct, frozen=True):
    """The measured audio of a chunk, by the clock of its upload.

    A quiet channel may be lost in an upload that is a mix, so speech is searched in the recording
    then, and speech that other channels may drown is cut from its own channel.

    Attributes:
        levels: the loudness of the measured spans.
        voices: the speech in the searched spans; None: none was searched.
    """

    levels: tuple[LoudnessLevels, ...]
    voices: tuple[Voice, ...] | None
    _transcriber: ChunkTranscriber
    _chunk: AudioChunk
    _upload: Measured
    _recording: Measured | None
    _job: RecordingJob

    @property
    def speech(self) -> list[Span] | None:
        """The spans with speech on any channel; None: none was searched."""
        if self.voices is None:
            return None
        return merge_spans(voice.span for voice in self.voices)

    async def cut(self, spans: Sequence[Span]) -> list[AudioChunk]:
        """Cut pieces to send again, exact to the sample; raises MediaError."""
        pieces: list[AudioChunk] = []
        try:
            for channel, parts in groupby(spans, self._channel):
                pieces += await self._cut(list(parts), channel)
        except BaseException:
            for piece in pieces:
                piece.upload.discard()
            raise
        return pieces

    async def _cut(self, spans: Sequence[Span], channel: int) -> list[AudioChunk]:
        if channel == MIXED or self._recording is None:
            plan = _plan(spans, channel, self._upload)
            return await self._transcriber.cut_all(source_of(self._chunk.upload), plan)
        span = self._chunk.span
        parts = [each for part in spans for each in _ADJUSTER.recording_spans(span, part)]
        plan = _plan(parts, channel, self._recording)
        async with self._job.reading() as source:
            pieces = await self._transcriber.cut_all(source, plan)
        return [replace(piece, span=_ADJUSTER.piece_span(span, piece.span)) for piece in pieces]

    def _channel(self, span: Span) -> int:
        """The channel to send a span from: the only one with speech if it may be drowned."""
        channels = {
            voice.channel
            for voice in self.voices or ()
            if voice.span.start_s < span.end_s and voice.span.end_s > span.start_s
        }
        return channels.pop() if len(channels) == 1 else MIXED


async def measure(
    transcriber: ChunkTranscriber,
    job: RecordingJob,
    chunk: AudioChunk,
    spans: Sequence[Span],
    searched: Sequence[Span] | None,
) -> RepairAudio:
    """Measure `spans` of the upload, and search others for speech; None: search none.

    Raises MediaError if the upload or the recording cannot be read.
    """
    workers, upload, span = transcriber.splitters, chunk.upload, chunk.span
    channels = job.file.channels if job.file is not None else 1
    if not searched or span.channel != MIXED or upload.channels >= channels:
        measured = await workers.measure(source_of(upload), spans, searched or ())
        voices = None if searched is None else measured.voices
        return RepairAudio(measured.levels, voices, transcriber, chunk, measured, None, job)
    measured = await workers.measure(source_of(upload), spans)
    parts = [each for part in searched for each in _ADJUSTER.recording_spans(span, part)]
    async with job.reading() as source:
        recording = await workers.measure(source, (), merge_spans(parts))
    voices = tuple(
        Voice(_ADJUSTER.upload_span(span, voice.span), voice.channel) for voice in recording.voices
    )
    return RepairAudio(measured.levels, voices, transcriber, chunk, measured, recording, job)


def _plan(spans: Sequence[Span], channel: int, measured: Measured) -> SplitPlan:
    def at(second: float) -> CutPoint:
        return CutPoint(round(second / measured.time_base) + measured.origin_pts)

    return SplitPlan(
        target_s=PIECE_S,
        max_bytes=MIB,
        # Exact to the sample, as a copied packet would include the end of the previous word.
        codec=UploadCodec.FLAC,
        channel=channel,
        exact=tuple((at(span.start_s), at(span.end_s)) for span in spans),
        only_exact=True,
    )
