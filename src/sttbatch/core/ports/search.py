"""Ports of search: the index, and what it is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sttbatch.core.search import (
    ExaminedOutput,
    IndexedTranscript,
    KnownOutput,
    Passage,
    Selection,
    StoredTranscript,
    VectorFacts,
)


class SearchIndex(Protocol):
    """Passages of transcripts, numbered from the newest transcript on, in the order of time.

    Every method raises StateError if the index cannot be used.
    """

    async def transcripts(self) -> dict[int, IndexedTranscript]:
        """All of them by place: what is before another one is newer."""

    async def superseded(self) -> dict[str, IndexedTranscript]:
        """By key, those of which a newer transcript of the same content and stream is indexed."""

    async def put(self, transcripts: Sequence[tuple[IndexedTranscript, Sequence[Passage]]]) -> None:
        """Index transcripts, each in place of what its key and its content and stream had.

        If a newer one of the same content and stream is indexed, one is only remembered as
        superseded.
        """

    async def remove(self, keys: Sequence[str]) -> int:
        """Remove transcripts; those that they superseded are forgotten, to be indexed again."""

    async def clear(self) -> None: ...

    async def scrub(self) -> None:
        """Erase what is left of removed transcripts in the files."""

    async def select(self, selection: Selection, after: int, limit: int) -> list[int]:
        """The first `limit` numbers above `after` of passages that may match, in order."""

    async def passages(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The data of passages by number; those that do not exist are left out."""

    async def examined(self) -> dict[bytes, ExaminedOutput]: ...

    async def examine(self, outputs: Sequence[ExaminedOutput]) -> None:
        """Remember what was found about outputs, in place of all that was known of any."""

    async def size_bytes(self) -> int: ...


class VectorIndex(Protocol):
    """The vectors of indexed transcripts, all by one model.

    Those of a transcript are removed with it. Every method raises StateError if the index cannot be
    used.
    """

    async def vector_facts(self) -> VectorFacts | None:
        """None: there are no vectors."""

    async def vector_bytes(self) -> dict[int, int]:
        """How long the vectors of transcripts are together, of those that have some, by place."""

    async def put_vectors(self, place: int, key: str, facts: VectorFacts, vectors: bytes) -> None:
        """Store the vectors of the transcript that has this place and key, if one has.

        `vectors` are float32, one vector after another. All vectors of other facts are removed.
        """

    async def vectors(self, places: Sequence[int]) -> list[tuple[int, bytes]]:
        """Those of these transcripts that have some, by place."""

    async def passages_at(self, place: int) -> list[bytes]:
        """The data of all passages of a transcript, in order."""


class TranscriptSource(Protocol):
    """What the ledger knows about transcripts; raises StateError if it cannot be read."""

    async def stored(self) -> list[StoredTranscript]:
        """All that lookups would find."""

    async def stored_of(self, file_sha256s: Sequence[str]) -> list[StoredTranscript]:
        """The transcripts of these contents."""

    async def stored_as(self, keys: Sequence[str]) -> list[StoredTranscript]:
        """Those of them with these keys."""

    async def stored_under(self, prefix: str) -> list[StoredTranscript]:
        """Those of them whose keys begin with `prefix`, which ends in a colon."""

    async def output_states(self, formats: Collection[str]) -> list[tuple[bytes, str | None]]:
        """The paths of all outputs in these formats, and the states in which they were written."""

    async def outputs(self, paths: Sequence[bytes]) -> list[KnownOutput]:
        """The outputs at these paths."""

    async def speaker_names(self) -> Mapping[str, Mapping[str, str]]:
        """As `SpeakerNames.all`."""

    async def rules(self) -> dict[str, str]:
        """By the keys of transcripts, the rules by which outputs of them were written, if any."""

    async def contents(self) -> list[tuple[bytes, str]]:
        """The path and content hash of every file that was read."""

    async def paths_by_content(self, file_sha256s: Sequence[str]) -> dict[str, list[bytes]]:
        """The files that had these contents when they were last read."""
