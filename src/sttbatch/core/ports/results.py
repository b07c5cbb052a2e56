"""The ports of results, and of what is remembered of files."""

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
    OutputState,
    RecordingIdentity,
)
from sttbatch.core.work import IndexedSpan


class ResultStore(VerifiableLevel, Protocol):
    """What was paid for: the level of the cache that is written first and is sufficient alone.

    A value that is older than the store was told to keep is not there.
    """

    async def present(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that are stored and not too old; values are not read."""

    async def put(self, key: str, value: CacheValue, model: str, file_sha256: str) -> None:
        """Store a value that was made of a recording; it is on the disk when this returns."""

    async def count_reads(
        self, accesses: Sequence[AccessCount], links: Sequence[tuple[str, str]]
    ) -> None:
        """Add to the counts of reads; link (file_sha256, key) of recordings that used an entry."""

    async def delete_model(self, model: str) -> tuple[str, ...]:
        """Remove a model's entries and return their keys."""

    async def erase_recording(self, recording: RecordingIdentity) -> ErasedRecording:
        """Remove a recording from every table, in one transaction.

        Booked requests stay, without what ties them to the recording: money is counted from them.
        """

    async def keys_of(self, file_sha256s: Sequence[str]) -> tuple[str, ...]:
        """The entries that these recordings use, transcripts first."""

    async def most_used(self, limit: int) -> tuple[tuple[str, int], ...]:
        """(key, reads), most read first."""


class ChunkIndex(Protocol):
    """Where recordings were cut: a later run with other flags finds the answers of those spans.

    `request_sha256` stands for everything that decides an answer but the audio.
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
        """What is remembered of many files, by few queries."""

    async def remember(self, path: bytes, record: FileRecord) -> None: ...

    async def paths_of(self, file_sha256s: Sequence[str]) -> list[bytes]:
        """The files that had one of these contents when they were read last."""

    async def was_unreadable(self, contents: Sequence[str]) -> bool:
        """Whether a job is known for what stands for the content of an unreadable file."""


class OutputStore(Protocol):
    """Output files: which recording owns their names, and how they were left."""

    async def owners_below(self, folders: Iterable[bytes]) -> list[OutputOwner]:
        """Every output in or below `folders` (real paths), by few queries."""

    async def digests(self, paths: Sequence[bytes]) -> list[OutputDigests]:
        """Those of `paths` that are owned, and what was written or meant to be written there."""

    async def claim(
        self,
        source: bytes,
        paths: Sequence[bytes],
        sha256s: Mapping[bytes, tuple[str, str]],
        abandoned: frozenset[OutputDigests] = frozenset(),
    ) -> tuple[OutputDigests, ...]:
        """Own `paths`, and accept (format, digest) by path as ours from now on.

        Returns the outputs of other recordings that are in the way, and then changes nothing.
        `abandoned` are outputs that may be taken over.
        """

    async def record(self, source: bytes, sha256s: Mapping[bytes, tuple[str, str]]) -> None:
        """Outputs of `source` with these (format, digest) by path are on the disk."""

    async def remember_states(self, states: Sequence[OutputState]) -> None:
        """How outputs were left; nothing is written where it is known already."""

    async def states(self, sources: Sequence[bytes]) -> list[OutputState]:
        """How the outputs of these recordings were left, by few queries."""
