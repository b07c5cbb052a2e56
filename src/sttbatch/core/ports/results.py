"""The ports of results and of records about files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from sttbatch.core.cache_entries import (
    AccessCount,
    CacheValue,
    IndexedResult,
    VerifiableLevel,
)
from sttbatch.core.file_records import (
    ErasedRecording,
    FileRecord,
    OutputDigests,
    OutputOwner,
    OutputRecipe,
    OutputState,
    RecordedOutput,
    RecordingIdentity,
)
from sttbatch.core.work import IndexedSpan


class ResultStore(VerifiableLevel, Protocol):
    """The authority of the cache, with everything that was paid for; it is written first.

    Values older than the store's maximum age count as missing.
    """

    async def present(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that are stored and not too old, without reading values."""

    async def put(self, key: str, value: CacheValue, model: str, file_sha256: str) -> None:
        """Store a value made from a recording; it is on the disk when this returns."""

    async def count_reads(
        self, accesses: Sequence[AccessCount], links: Sequence[tuple[str, str]]
    ) -> None:
        """Add up counts of reads, and link the (file_sha256, key) of recordings and entries."""

    async def delete_model(self, model: str) -> tuple[str, ...]:
        """Remove a model's entries and return their keys."""

    async def erase_recording(self, recording: RecordingIdentity) -> ErasedRecording:
        """Remove a recording from every table, in one transaction.

        Booked requests stay, anonymous, since costs are summed from them.
        """

    async def keys_of(self, file_sha256s: Sequence[str]) -> tuple[str, ...]:
        """The entries that these recordings use, transcripts first."""

    async def most_used(self, limit: int) -> tuple[tuple[str, int], ...]:
        """(key, reads), most read first."""


class ChunkIndex(Protocol):
    """Where recordings were cut, so that a later run with other flags finds those answers.

    `request_sha256` is a hash of everything but the audio that decides an answer.
    """

    async def remember(self, span: IndexedSpan) -> None: ...

    async def results(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> list[IndexedResult]:
        """Spans of a recording whose answer is stored; they may overlap."""

    async def covered_s(
        self, file_sha256s: Sequence[str], stream: int, request_sha256: str
    ) -> dict[str, float]:
        """Seconds of each recording under at least one span with an answer.

        For estimates: damaged and expired answers count.
        """


class FileIndex(Protocol):
    """Content hashes of files, as they were computed last."""

    async def records(self, paths: Sequence[bytes]) -> dict[bytes, FileRecord]:
        """The records of many files, with few queries."""

    async def remember(self, records: Mapping[bytes, FileRecord]) -> None:
        """Record files by path."""

    async def paths_of(self, file_sha256s: Sequence[str]) -> list[bytes]:
        """The files that had one of these contents when they were last read."""

    async def was_unreadable(self, contents: Sequence[str]) -> bool:
        """Whether a job exists with one of these stand-ins for unreadable contents."""


class OutputStore(Protocol):
    """Output files: which recording owns their names, and their state when they were written."""

    async def owners_below(self, folders: Iterable[bytes]) -> list[OutputOwner]:
        """Every output in or below `folders` (real paths), with few queries."""

    async def digests(self, paths: Sequence[bytes]) -> list[OutputDigests]:
        """Those of `paths` that are owned, and the digests that were or may have been written."""

    async def claim(
        self,
        source: bytes,
        paths: Sequence[bytes],
        sha256s: Mapping[bytes, tuple[str, str]],
        abandoned: frozenset[OutputDigests] = frozenset(),
    ) -> tuple[OutputDigests, ...]:
        """Own `paths`, and accept their new (format, digest) as ours from now on.

        Returns conflicting outputs of other recordings, and then changes nothing. `abandoned` are
        outputs that may be taken over.
        """

    async def record(
        self,
        source: bytes,
        sha256s: Mapping[bytes, tuple[str, str]],
        states: Sequence[OutputState] = (),
        recipe: OutputRecipe | None = None,
    ) -> None:
        """Record that outputs of `source` were written with these (format, digest) by path.

        `states` are of outputs that are up to date, made by `recipe`; those that are unchanged are
        not written.
        """

    async def states(self, sources: Sequence[bytes]) -> list[OutputState]:
        """The states of the outputs of these recordings, with few queries."""

    async def outputs_of(self, sources: Sequence[bytes]) -> list[RecordedOutput]:
        """The outputs of these recordings, with their recipes."""


class SpeakerNames(Protocol):
    """The names of the speakers of recordings, by what transcripts call them."""

    async def of(self, file_sha256: str) -> Mapping[str, str]:
        """Those of one content."""

    async def all(self) -> Mapping[str, Mapping[str, str]]:
        """By content, those of all recordings that have some."""

    async def rename(self, file_sha256: str, names: Mapping[str, str | None]) -> None:
        """Give speakers names; None takes a name away."""
