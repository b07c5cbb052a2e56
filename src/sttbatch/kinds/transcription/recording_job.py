"""RecordingJob: a recording in a run; copies of the same content are one job."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from sttbatch.caching.result_cache import StoredSpan
from sttbatch.core.errors import SttbatchError, is_hindrance
from sttbatch.core.file_records import FileRecord
from sttbatch.core.jobs import Claim
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.models import (
    MIXED,
    AudioChunk,
    AudioFile,
    ChannelMode,
    CutPoint,
    GapReason,
    Transcript,
)
from sttbatch.core.ports.objects import ObjectFacts
from sttbatch.kinds.transcription.fetched_objects import FetchedObjects, check_content
from sttbatch.processing.discovery import Candidate
from sttbatch.processing.media.media_messages import Source
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.processing.transcript.result_merger import ChunkOutcome


class RunState(StrEnum):
    """The state of a recording in a run.

    CACHED: its transcript is stored, but maybe not its outputs. HELD_ELSEWHERE: another run has its
    job, or ended it. TRANSCRIBING: it is cut to its end. FAILING, INTERRUPTED: it, or the run, ends
    early, and chunks may still be pending. ORDERED: this run only submits it to workers.
    """

    DISCOVERED = "discovered"
    CACHED = "cached"
    WAITING = "waiting"
    HELD_ELSEWHERE = "held_elsewhere"
    CLAIMED = "claimed"
    CUTTING = "cutting"
    TRANSCRIBING = "transcribing"
    COMPLETING = "completing"
    FAILING = "failing"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    CANCELLED = "cancelled"
    ORDERED = "ordered"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState(state): frozenset(map(RunState, after.split()))
    for state, after in {
        "discovered": "cached waiting failed left",
        "cached": "done failed left",
        "waiting": "claimed held_elsewhere ordered failed cancelled left",
        "held_elsewhere": "waiting cached failed cancelled left",
        "claimed": "cutting cached failing interrupted left",
        "cutting": "transcribing failing interrupted left",
        "transcribing": "completing failing interrupted left",
        "completing": "done failed interrupted left",
        "failing": "failed left",
        "interrupted": "failing left",
        "done": "",
        "failed": "",
        "left": "",
        "cancelled": "",
        "ordered": "",
    }.items()
}
"""Every legal change of state."""


@dataclass(slots=True, eq=False)
class RecordingJob:
    """A recording's content and its state in the run.

    Attributes:
        candidates: the files with this content; the first one is read.
        state: changed by `advance`, `fail` and `interrupt` only.
        reason: why it failed; until it is claimed, in an earlier run.
        hindered: the reason is a hindrance, so it loses no retry.
        id, priority, retry_count: of its row in the queue, once it has one.
        claim: while this run processes it.
        transcript: while its outputs are written.
        pending: number of chunks that were cut and have no outcome yet.
        counted_s: its measured length, once it was read to the end.
        reached_s: the end of the chunks that are known so far.
        recheck: stored chunks that gap repair has to examine again, by channel and ends.
        repair_s: seconds of audio that gap repair has sent again, in all runs.
        reported_count: how many of its copies are in the report.
        fetched: has its file if it is an object.
    """

    candidates: list[Candidate]
    fingerprint: FileRecord
    transcript_key: str
    state: RunState = RunState.DISCOVERED
    reason: str = ""
    hindered: bool = False
    id: str = ""
    priority: int = 0
    retry_count: int = 0
    claim: Claim | None = None
    file: AudioFile | None = None
    transcript: Transcript | None = None
    pending: int = 0
    counted_s: float | None = None
    reached_s: float = 0.0
    outcomes: list[ChunkOutcome] = field(default_factory=list)
    recheck: dict[tuple[int, CutPoint, CutPoint], StoredSpan] = field(default_factory=dict)
    repair_s: float = 0.0
    reported_count: int = 0
    channel_mode: ChannelMode = ChannelMode.MIX
    fetched: FetchedObjects | None = None

    def advance(self, state: RunState) -> None:
        """Change the state; raises RuntimeError, for a bug, if that is no legal transition."""
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"{self.display_path} is {self.state}, it cannot become {state}")
        self.state = state

    def fail(self, error: SttbatchError) -> None:
        """Begin to fail; the first reason counts."""
        if RunState.FAILING in TRANSITIONS[self.state]:
            self.advance(RunState.FAILING)
            self.reason = str(error)
            self.hindered |= is_hindrance(error)

    def interrupt(self) -> None:
        """Note that the run does not continue with it."""
        if RunState.INTERRUPTED in TRANSITIONS[self.state]:
            self.advance(RunState.INTERRUPTED)

    @property
    def has_failed(self) -> bool:
        return self.state in (RunState.FAILING, RunState.FAILED)

    @property
    def display_path(self) -> str:
        return self.candidates[0].display_path

    @property
    def stream(self) -> int:
        """The audio stream that is transcribed; 0 until the file is probed."""
        return self.file.stream if self.file is not None else 0

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Source]:
        """The file to read, which must not have changed since it was hashed.

        Raises RecordingError if it is an object that has to be fetched again and cannot.
        """
        path, file = self.candidates[0].path, self.fingerprint
        state = file.size_bytes, file.mtime_ns, file.inode
        if not isinstance(path, ObjectUrl):
            yield Source(file.size_bytes, self.stream, path=bytes(path), state=state)
            return
        facts, fetched = self.candidates[0].status, self.fetched
        assert isinstance(facts, ObjectFacts)
        assert fetched is not None
        async with fetched.held_at_once(facts) as held:
            check_content(held, file.sha256)
            found = held.path.stat()
            state = found.st_size, found.st_mtime_ns, found.st_ino
            yield Source(file.size_bytes, self.stream, path=bytes(held.path), state=state)

    @property
    def declared_s(self) -> float:
        return self.file.duration_s if self.file is not None else 0.0

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels that are transcribed separately; only `MIXED` if they are mixed."""
        if self.channel_mode is ChannelMode.MIX or self.file is None or self.file.channels < 2:
            return (MIXED,)
        return tuple(range(1, self.file.channels + 1))

    @property
    def billable_s(self) -> float:
        """Declared seconds of all channels that are transcribed separately."""
        return self.declared_s * len(self.channels)

    @property
    def length_s(self) -> float:
        """Its length, as far as it is known, since headers of streams declare none."""
        return max(self.declared_s, self.reached_s) if self.counted_s is None else self.counted_s

    @property
    def is_cached(self) -> bool:
        """Whether nothing had to be sent, as its words were stored, or it has none."""
        return all(each.cached or each.gap is GapReason.NO_SPEECH for each in self.outcomes)

    def release(self) -> None:
        """Drop the words after they are written, as a run may have many, and an object's file."""
        if self.fetched is not None and isinstance(facts := self.candidates[0].status, ObjectFacts):
            self.fetched.forget(facts)
        self.transcript = None
        self.outcomes.clear()
        self.recheck.clear()


class ChunkWork(Struct, frozen=True):
    """A chunk and its recording."""

    job: RecordingJob
    chunk: AudioChunk


@dataclass(slots=True, eq=False)
class CutterTurn:
    """A cutter's turn, whose recording is chosen when it begins.

    Attributes:
        fetches: it is one of those that have to be fetched first.
    """

    job: RecordingJob | None = None
    fetches: bool = False


Lanes: TypeAlias = ParallelOrchestrator[CutterTurn, ChunkWork]
