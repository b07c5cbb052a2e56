"""One recording's way through a run; copies of the same content are one job."""

from __future__ import annotations

from dataclasses import dataclass, field

from sttbatch.caching.fingerprints import Fingerprint
from sttbatch.caching.stored_spans import StoredSpan
from sttbatch.core.errors import RecordingError
from sttbatch.core.jobs import Claim
from sttbatch.core.models import (
    MIXED,
    AudioChunk,
    AudioFile,
    ChannelMode,
    CutPoint,
    Gap,
    GapReason,
    Transcript,
)
from sttbatch.processing.discovery import Candidate
from sttbatch.processing.transcript.compressed_result import CompressedResult
from sttbatch.processing.transcript.result_merger import ResultMerger

TRUNCATED_SHARE = 0.01
TRUNCATED_S = 1.0
"""A recording that ends this much before its header says so has lost its end."""


@dataclass(slots=True, eq=False)
class Job:
    """Content and everything known of it.

    Attributes:
        candidates: the files that hold this content; the first one is read.
        id, priority: of its row in the queue, once it has one.
        claim: while it is ours to work on.
        transcript: while its outputs are written.
        cached: its transcript is stored, or was joined from what was; nothing is sent for it.
        unreadable: what was wrong when it was looked at first.
        failure: why it cannot go on.
        left: the run ended before it did.
        pending: chunks that were cut and have no outcome yet.
        counted_s: its real length, once it was read to the end.
        reached_s: to where its stretches have come so far.
        again: stretches whose words are kept, by channel and ends, that have to be listened to.
        audit_s: seconds of audio that its audit asked for again, in this run and before.
        told: how many of its copies have their place in the report.
    """

    candidates: list[Candidate]
    fingerprint: Fingerprint
    transcript_key: str
    id: str = ""
    priority: int = 0
    claim: Claim | None = None
    file: AudioFile | None = None
    transcript: Transcript | None = None
    cached: bool = False
    unreadable: RecordingError | None = None
    failure: str | None = None
    left: bool = False
    pending: int = 0
    counted_s: float | None = None
    reached_s: float = 0.0
    outcomes: list[CompressedResult] = field(default_factory=list)
    again: dict[tuple[int, CutPoint, CutPoint], StoredSpan] = field(default_factory=dict)
    audit_s: float = 0.0
    told: int = 0
    finished: bool = False
    channel_mode: ChannelMode = ChannelMode.MIX

    @property
    def display_path(self) -> str:
        return self.candidates[0].display_path

    @property
    def declared_s(self) -> float:
        return self.file.duration_s if self.file is not None else 0.0

    @property
    def channels(self) -> tuple[int, ...]:
        """What is cut and heard on its own: its channels, or `MIXED` alone."""
        if self.channel_mode is ChannelMode.MIX or self.file is None or self.file.channels < 2:
            return (MIXED,)
        return tuple(range(1, self.file.channels + 1))

    @property
    def to_hear_s(self) -> float:
        """Declared seconds of all that is heard on its own."""
        return self.declared_s * len(self.channels)

    @property
    def is_cut(self) -> bool:
        return self.counted_s is not None

    @property
    def length_s(self) -> float:
        """Its length, as far as that is known: headers of streams declare none."""
        return max(self.declared_s, self.reached_s) if self.counted_s is None else self.counted_s

    def let_go(self) -> None:
        """Its words are where they belong; a run has more recordings than memory."""
        self.transcript = None
        self.outcomes.clear()
        self.again.clear()

    def lost_end(self) -> Gap | None:
        """The end that its header promises and its content lacks."""
        if self.file is None or self.counted_s is None or self.file.duration_is_estimate:
            return None
        missing_s = self.file.duration_s - self.counted_s
        if missing_s <= max(TRUNCATED_S, TRUNCATED_SHARE * self.file.duration_s):
            return None
        detail = (
            f"truncated: the header declares {self.file.duration_s:.1f} s, "
            f"{self.counted_s:.1f} s are there"
        )
        return Gap(self.counted_s, self.file.duration_s, GapReason.TRUNCATED, detail)

    def merged(self, merger: ResultMerger) -> Transcript:
        """Join what there is; only once it is cut and nothing is pending."""
        assert self.counted_s is not None
        transcript = merger.merge(self.outcomes, self.counted_s)
        lost = self.lost_end()
        if lost is None:
            return transcript
        return Transcript(
            transcript.duration_s,
            transcript.language,
            transcript.segments,
            transcript.chunks,
            (*transcript.gaps, lost),
        )


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """A chunk and whose it is."""

    job: Job
    chunk: AudioChunk


def shortcomings(transcript: Transcript) -> str | None:
    """Why a transcript with holes is no success; None where it is one."""
    missing = [gap for gap in transcript.gaps if gap.reason is GapReason.STILL_MISSING]
    lost = [gap for gap in transcript.gaps if gap.reason is GapReason.TRUNCATED]
    parts = []
    if missing:
        stretches = ", ".join(map(_named, missing[:5]))
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        parts.append(f"not transcribed: {stretches}{more}: {missing[0].detail}")
    parts += [gap.detail for gap in lost]
    return "; ".join(parts) or None


def _named(gap: Gap) -> str:
    channel = f" of channel {gap.channel}" if gap.channel != MIXED else ""
    return f"{gap.start_s:.0f}-{gap.end_s:.0f} s{channel}"
