"""Splitter: cuts a recording in one pass from start to end, in silence where possible."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sttbatch.core.errors import MediaError
from sttbatch.core.models import AudioChunk, ChunkSpan, CutPoint, Upload, UploadCodec
from sttbatch.processing.media.media_messages import SplitPlan
from sttbatch.processing.media.packet_buffer import PacketBuffer
from sttbatch.processing.media.packet_clock import FAR
from sttbatch.processing.media.sample_buffer import SampleBuffer
from sttbatch.processing.media.silence import find_cut
from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import COPYABLE

OVERLAP_S = 2.0
"""Seconds that both neighbours of a cut in speech include, half on either side."""

WINDOW_S = 20.0
WINDOW_SHARE = 0.3
"""Silence is searched in 20 s around a target, or less if chunks are short."""

NEAR_S = 6.0
"""The middle of a wide window is searched first, since decoding all of it costs as much as reading
everything else. A much shorter window has no reliable level to compare silence with."""

LAST_PIECE_SLACK = 1.05
"""A last chunk up to this multiple of the target is not split, to save a short request."""

MIN_PIECE_S = 0.1
"""Shorter pieces are not sent: they contain no words, and servers refuse them."""

SIZE_HEADROOM_BYTES = 256 * 1024
"""Space for the overlap after a cut and for the container, which are not counted."""


class Splitter:
    """Cuts a track by a plan, except its `kept` spans; raises MediaError.

    Attributes:
        is_at_end: the chunk that is yielded is the last one.
    """

    def __init__(self, track: Track, plan: SplitPlan) -> None:
        self._track = track
        self._plan = plan
        self.buffer = _buffer(track, plan)
        # Some audio has to fit even if the limit is small.
        self._max_bytes = max(plan.max_bytes - SIZE_HEADROOM_BYTES, plan.max_bytes // 2)
        self._longest_s = math.inf
        if plan.max_piece_s is not None:
            # With overlap and preroll the upload must not last longer.
            rest_s = plan.max_piece_s - OVERLAP_S - self.buffer.preroll_s
            self._longest_s = max(plan.max_piece_s / 2, rest_s)
        self._shortest = track.pts_of(MIN_PIECE_S)
        self._index = 0
        self.is_at_end = False

    @property
    def counted_s(self) -> float:
        """Seconds read so far; after the last piece the recording's duration."""
        return max(0.0, self._track.seconds(self.buffer.end_pts))

    def chunks(self) -> Iterator[AudioChunk]:
        # Audio may begin before 0:00 (encoder delay) or long after.
        begin = CutPoint(-FAR)
        fixed = [(*span, False) for span in self._plan.kept]
        fixed += [(*span, True) for span in self._plan.exact]
        for start, end, is_exact in sorted(fixed, key=lambda span: span[0].pts):
            if not self._plan.only_exact:
                yield from self._between(begin, start)
            if is_exact:
                self._skip_to(start)
                yield from self._cut(start, end)
            self._skip_to(end)
            begin = end
        if not self._plan.only_exact:
            yield from self._between(begin, None)

    def _between(self, begin: CutPoint, end: CutPoint | None) -> Iterator[AudioChunk]:
        """Cut from `begin` to `end`, or to the end of the recording."""
        while True:
            begin = self._audio_from(begin)
            if end is not None and end.pts - begin.pts < self._shortest:
                return
            cut = self._next_cut(begin, end)
            self.is_at_end = end is None and self._ends(cut)
            yield from self._cut(begin, cut)
            if self._ends(cut):
                return
            self._skip_to(cut)
            begin = cut

    def _ends(self, cut: CutPoint) -> bool:
        return self.buffer.at_end and cut.pts >= self.buffer.end_pts

    def _audio_from(self, begin: CutPoint) -> CutPoint:
        """`begin`, or the start of the next audio if there is none for a while."""
        first = self.buffer.first_within(begin.pts, FAR)
        while first is None and not self.buffer.at_end:
            self.buffer.fill(self.buffer.end_pts + 1, FAR)
            first = self.buffer.first_within(begin.pts, FAR)
        if first is None:
            return CutPoint(max(begin.pts, self.buffer.end_pts))
        return begin if first - begin.pts < self._shortest else CutPoint(first)

    def _next_cut(self, begin: CutPoint, end: CutPoint | None) -> CutPoint:
        width, high = self._window(begin, end)
        reached = self.buffer.fill(high, self._max_bytes)
        # The overlap before the chunk may already reach the limit.
        reached = max(reached, self.buffer.fill(begin.pts + self._track.pts_of(OVERLAP_S), FAR))
        if end is not None and reached >= end.pts:
            return end
        if self.buffer.at_end and reached == self.buffer.end_pts:
            return CutPoint(max(begin.pts, reached))
        return self._cut_in(max(begin.pts + self._shortest, reached - width), reached)

    def _window(self, begin: CutPoint, end: CutPoint | None) -> tuple[int, int]:
        """The width of the window in which silence is searched, and its end."""
        target_s = self._plan.target_s
        end_s = self._track.seconds(end.pts) if end else self._plan.declared_s
        rest_s = end_s - self._track.seconds(begin.pts)
        whole_s = min(target_s * LAST_PIECE_SLACK, self._longest_s)
        pieces = max(1, math.ceil(rest_s / whole_s))
        width_s = min(WINDOW_S, WINDOW_SHARE * target_s)
        width = self._track.pts_of(width_s)
        if pieces == 1 and end is not None:
            return width, end.pts
        # After the declared end, or if none is declared, the target alone decides.
        ideal_s = rest_s / pieces if pieces > 1 else whole_s
        high_s = min(ideal_s + width_s / 2, self._longest_s)
        return width, begin.pts + self._track.pts_of(high_s)

    def _cut_in(self, low: int, high: int) -> CutPoint:
        aside = (high - low - self._track.pts_of(NEAR_S)) // 2
        if aside > self._track.pts_of(NEAR_S / 2):
            near = self._quietest(low + aside, high - aside)
            if not near.overlap:
                return near
        return self._quietest(low, high)

    def _quietest(self, low: int, high: int) -> CutPoint:
        start, pcm = self.buffer.pcm(low, high)
        if not pcm:
            return CutPoint(high)
        point = find_cut(pcm, self.buffer.preroll_s)
        pts = self.buffer.snap(start + self._track.pts_of(point.offset_s))
        return CutPoint(min(max(pts, low), high), overlap=not point.silent)

    def _cut(self, begin: CutPoint, end: CutPoint) -> Iterator[AudioChunk]:
        """Cut one chunk, unless it has too little audio."""
        # Nothing is read twice, so the overlap is read before the chunk is cut.
        past = end.pts + (self._track.pts_of(OVERLAP_S / 2) if end.overlap else 0)
        self.buffer.fill(past, FAR)
        first = self.buffer.first_within(begin.pts, end.pts)
        if first is None or end.pts - first < self._shortest:
            return
        media = self.buffer.cut(begin.pts - self._lead(begin), past)
        if media is None:
            return
        span = ChunkSpan(
            index=self._index,
            start=begin,
            end=end,
            start_s=max(0.0, self._track.seconds(first)),
            end_s=self._track.seconds(end.pts),
            time_map=media.time_map,
            channel=self._plan.channel,
        )
        upload = Upload(
            filename=f"chunk-{self._index:04}.{media.container.suffix}",
            content_type=media.container.content_type,
            codec=media.codec,
            duration_s=media.duration_s,
            size_bytes=len(media.data),
            data=media.data,
            channels=media.channels,
        )
        self._index += 1
        # Exact spans alone are cut where they were measured to hold sound.
        silent = not self._plan.only_exact and self.buffer.is_silent(
            begin.pts, end.pts, vad=self._plan.vad
        )
        yield AudioChunk(span, media.audio_sha256, upload, silent)

    def _skip_to(self, cut: CutPoint) -> None:
        self.buffer.skip_to(cut.pts - self._lead(cut))

    def _lead(self, cut: CutPoint) -> int:
        overlap_s = OVERLAP_S / 2 if cut.overlap else 0.0
        return self._track.pts_of(self.buffer.preroll_s + overlap_s)


def _buffer(track: Track, plan: SplitPlan) -> PacketBuffer | SampleBuffer:
    if plan.codec is not UploadCodec.COPY:
        return SampleBuffer(track, plan.codec, plan.channel, by_samples=plan.only_exact)
    if track.codec not in COPYABLE:
        raise MediaError(
            f"its codec, {track.codec}, cannot be copied into an upload; "
            "use --upload-codec auto or flac"
        )
    return PacketBuffer(track, plan.max_bytes)
