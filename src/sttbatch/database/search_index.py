"""The search index: what SQLite and PostgreSQL have in common of it."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from sttbatch.core.search import (
    PASSAGE_LIMIT,
    EmbeddingModel,
    ExaminedOutput,
    IndexedTranscript,
    Passage,
    Selection,
    Term,
    VectorFacts,
)
from sttbatch.database.database import Database
from sttbatch.database.store import Session

_LAST_PLACE = 1 << 43
"""That of a transcript of 1970; each millisecond has one."""

_COLUMNS = "key, file_sha256, created_at, version, stream, language, edit, place"
TRANSCRIPTS = f"SELECT {_COLUMNS} FROM search_transcripts"  # noqa: S608 - of a constant
INSERT = f"""
    INSERT INTO search_transcripts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""  # noqa: S608
OF_KEY = "SELECT file_sha256, stream, place FROM search_transcripts WHERE key = ?"
OF_CONTENT = """
    SELECT key, created_at, place FROM search_transcripts
    WHERE file_sha256 = ? AND stream = ? AND place IS NOT NULL"""
IS_TAKEN = "SELECT 1 FROM search_transcripts WHERE place = ?"
SUPERSEDE = "UPDATE search_transcripts SET place = NULL WHERE key = ?"
DELETE = "DELETE FROM search_transcripts WHERE key = ?"
FORGET_SUPERSEDED = """
    DELETE FROM search_transcripts WHERE file_sha256 = ? AND stream = ? AND place IS NULL"""
PASSAGES = "SELECT id, data FROM search_passages WHERE id IN (?*)"
DELETE_PASSAGES = "DELETE FROM search_passages WHERE id BETWEEN ? AND ?"
VECTOR_FACTS = "SELECT name, origin, version, dimension FROM search_model"
INSERT_FACTS = "INSERT INTO search_model (name, origin, version, dimension) VALUES (?, ?, ?, ?)"
IS_PLACED = "SELECT 1 FROM search_transcripts WHERE place = ? AND key = ?"
DELETE_VECTORS = "DELETE FROM search_vectors WHERE place = ?"
INSERT_VECTORS = "INSERT INTO search_vectors (place, vectors) VALUES (?, ?)"
VECTOR_BYTES = "SELECT place, length(vectors) FROM search_vectors"
VECTORS = "SELECT place, vectors FROM search_vectors WHERE place IN (?*)"
PASSAGES_AT = "SELECT data FROM search_passages WHERE id BETWEEN ? AND ? ORDER BY id"
EXAMINED = "SELECT path, file_state, is_edited FROM search_outputs"
EXAMINE = "INSERT INTO search_outputs (path, file_state, is_edited) VALUES (?, ?, ?)"


class SqlSearchIndex(abc.ABC):
    """A `SearchIndex` and `VectorIndex`, without what differs between databases."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @abc.abstractmethod
    def _insert_passages(
        self, session: Session, place: int, rows: Sequence[tuple[int, Passage]]
    ) -> None: ...

    @abc.abstractmethod
    def _delete_words(self, session: Session, place: int) -> None:
        """Remove the words of a transcript's passages, before these are deleted."""

    @abc.abstractmethod
    async def select(self, selection: Selection, after: int, limit: int) -> list[int]: ...

    @abc.abstractmethod
    async def clear(self) -> None: ...

    async def transcripts(self) -> dict[int, IndexedTranscript]:
        rows = await self.database.rows(f"{TRANSCRIPTS} WHERE place IS NOT NULL")
        return {place: IndexedTranscript(*facts) for *facts, place in rows}

    async def superseded(self) -> dict[str, IndexedTranscript]:
        rows = await self.database.rows(f"{TRANSCRIPTS} WHERE place IS NULL")
        return {facts[0]: IndexedTranscript(*facts) for *facts, _ in rows}

    async def put(self, transcripts: Sequence[tuple[IndexedTranscript, Sequence[Passage]]]) -> None:
        def put_all(session: Session) -> None:
            for transcript, passages in transcripts:
                put(session, transcript, passages)

        def put(
            session: Session, transcript: IndexedTranscript, passages: Sequence[Passage]
        ) -> None:
            self._take_out(session, transcript.key)
            content = (transcript.file_sha256, transcript.stream)
            others = session.execute(OF_CONTENT, content).fetchall()
            age = (transcript.created_at, transcript.key)
            place = None
            if all(age > (created_at, key) for key, created_at, _ in others):
                for key, _, taken in others:
                    self._delete_passages(session, taken)
                    session.execute(SUPERSEDE, (key,))
                place = _free_place(session, transcript.created_at)
                rows = list(enumerate(passages, number_of(place)))
                self._insert_passages(session, place, rows)
            session.execute(INSERT, (*_facts(transcript), place))

        await self.database.write(put_all)

    async def remove(self, keys: Sequence[str]) -> int:
        def remove(session: Session) -> int:
            count = 0
            for key in keys:
                row = self._take_out(session, key)
                if row is not None:
                    session.execute(FORGET_SUPERSEDED, (row[0], row[1]))
                    count += 1
            return count

        return await self.database.write(remove)

    async def scrub(self) -> None:
        await self.database.maintain(lambda store: store.vacuum())

    async def passages(self, numbers: Sequence[int]) -> dict[int, bytes]:
        return dict(await self.database.batched_rows(PASSAGES, numbers))

    async def examined(self) -> dict[bytes, ExaminedOutput]:
        rows = await self.database.rows(EXAMINED)
        return {path: ExaminedOutput(path, state, bool(edited)) for path, state, edited in rows}

    async def examine(self, outputs: Sequence[ExaminedOutput]) -> None:
        rows = [(each.path, each.file_state, int(each.is_edited)) for each in outputs]

        def replace(session: Session) -> None:
            session.execute("DELETE FROM search_outputs")
            session.executemany(EXAMINE, rows)

        await self.database.write(replace)

    async def vector_facts(self) -> VectorFacts | None:
        return await self.database.read(_vector_facts)

    async def vector_bytes(self) -> dict[int, int]:
        return dict(await self.database.rows(VECTOR_BYTES))

    async def put_vectors(self, place: int, key: str, facts: VectorFacts, vectors: bytes) -> None:
        def put(session: Session) -> None:
            if _vector_facts(session) != facts:
                session.execute("DELETE FROM search_vectors")
                session.execute("DELETE FROM search_model")
                model = facts.model
                row = (model.name, model.origin, facts.version, facts.dimension)
                session.execute(INSERT_FACTS, row)
            if session.execute(IS_PLACED, (place, key)).fetchone():
                session.execute(DELETE_VECTORS, (place,))
                session.execute(INSERT_VECTORS, (place, vectors))

        await self.database.write(put)

    async def vectors(self, places: Sequence[int]) -> list[tuple[int, bytes]]:
        return await self.database.batched_rows(VECTORS, places)

    async def passages_at(self, place: int) -> list[bytes]:
        numbers = (number_of(place), number_of(place + 1) - 1)
        return [data for (data,) in await self.database.rows(PASSAGES_AT, numbers)]

    async def size_bytes(self) -> int:
        return await self.database.maintain(lambda store: store.size_bytes())

    def _take_out(self, session: Session, key: str) -> Any:
        row = session.execute(OF_KEY, (key,)).fetchone()
        if row is not None:
            self._delete_passages(session, row[2])
            session.execute(DELETE, (key,))
        return row

    def _delete_passages(self, session: Session, place: int | None) -> None:
        if place is not None:
            self._delete_words(session, place)
            session.execute(DELETE_PASSAGES, (number_of(place), number_of(place + 1) - 1))
            session.execute(DELETE_VECTORS, (place,))


def number_of(place: int) -> int:
    """The number of a transcript's first passage."""
    return place * PASSAGE_LIMIT


def quoted(selection: Selection, mark: str, prefix: str, both: str, either: str) -> str:
    """A full-text query; `mark` quotes words, and `prefix` follows those that are beginnings."""

    def term(word: Term) -> str:
        return f"{mark}{word.text}{mark}{prefix if word.is_prefix else ''}"

    def any_of(words: Sequence[Term]) -> str:
        return f"({either.join(map(term, words))})"

    return either.join(f"({both.join(map(any_of, each))})" for each in selection)


def _free_place(session: Session, created_at: float) -> int:
    place = _LAST_PLACE - int(created_at * 1000)
    while session.execute(IS_TAKEN, (place,)).fetchone():
        place -= 1
    return place


def _vector_facts(session: Session) -> VectorFacts | None:
    row = session.execute(VECTOR_FACTS).fetchone()
    return None if row is None else VectorFacts(EmbeddingModel(row[0], row[1]), row[2], row[3])


def _facts(transcript: IndexedTranscript) -> tuple[object, ...]:
    return (
        transcript.key,
        transcript.file_sha256,
        transcript.created_at,
        transcript.version,
        transcript.stream,
        transcript.language,
        transcript.edit,
    )
