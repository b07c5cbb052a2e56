"""What an index of transcripts holds, and what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct

PASSAGE_LIMIT = 1 << 20
"""Maximum number of passages of a transcript: words of months."""


class IndexedTranscript(Struct, frozen=True):
    """A transcript in an index.

    Attributes:
        key: of its cache entry.
        created_at: of that entry, in seconds since the epoch.
        version: of the rules by which it was indexed.
        edit: which state of which edited output its text is from; empty: it is as it was stored.
    """

    key: str
    file_sha256: str
    created_at: float
    version: str
    stream: int = 0
    language: str | None = None
    edit: str = ""


class Passage(Struct, frozen=True):
    """A passage of a transcript: the words that it is found by, and packed what a hit shows.

    The words have spaces between them, as they would take ten times the memory by themselves.
    """

    words: str
    data: bytes


class EmbeddingModel(Struct, frozen=True):
    """Who makes the vectors of passages; those of different ones say nothing of each other.

    Attributes:
        origin: of the endpoint that has the model, or the package with its version.
    """

    name: str
    origin: str

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"


class VectorFacts(Struct, frozen=True):
    """Of all vectors in an index: who made them, by which rules of passages, and how long they are.

    Attributes:
        dimension: numbers in a vector.
    """

    model: EmbeddingModel
    version: str
    dimension: int


class Term(NamedTuple):
    """A word of an index, or the beginning of one."""

    text: str
    is_prefix: bool = False


Selection: TypeAlias = Sequence[Sequence[Sequence[Term]]]
"""Any of these, in which all of these occur, of which any word is in a passage."""


class ExaminedOutput(NamedTuple):
    """An output whose file is not in the state in which it was written; its text may be."""

    path: bytes
    file_state: str
    is_edited: bool


class StoredTranscript(NamedTuple):
    """A transcript that the ledger has."""

    key: str
    file_sha256: str
    created_at: float
    model: str


class KnownOutput(NamedTuple):
    """An output that was written: its recording, state and digests; `file_state` may be unknown."""

    path: bytes
    source: bytes
    format: str
    sha256s: tuple[str, ...]
    file_state: str | None
