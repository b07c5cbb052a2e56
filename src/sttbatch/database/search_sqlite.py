"""The search index in SQLite: FTS5 tells which passages have words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sttbatch.core.search import Passage, Selection
from sttbatch.database.search_index import SqlSearchIndex, number_of, quoted
from sttbatch.database.store import Session

INSERT = "INSERT INTO search_passages (id, data) VALUES (?, ?)"
INSERT_WORDS = "INSERT INTO search_words (rowid, words) VALUES (?, ?)"
DELETE_WORDS = "INSERT INTO search_words (search_words, rowid, words) VALUES ('delete', ?, ?)"
INSERT_REMOVAL = "INSERT INTO search_removals (place, words) VALUES (?, ?)"
REMOVAL = "DELETE FROM search_removals WHERE place = ? RETURNING words"
SELECT = """
    SELECT rowid FROM search_words WHERE search_words MATCH ? AND rowid > ?
    ORDER BY rowid LIMIT ?"""
CLEAR = (
    "INSERT INTO search_words (search_words) VALUES ('delete-all')",
    "DELETE FROM search_removals",
    "DELETE FROM search_passages",
    "DELETE FROM search_transcripts",
    "DELETE FROM search_outputs",
    "DELETE FROM search_vectors",
    "DELETE FROM search_model",
)
MAPPED = "PRAGMA mmap_size = 2147418112"
MERGE = "INSERT INTO search_words (search_words) VALUES ('optimize')"

_FASTEST = 1


class SqliteSearchIndex(SqlSearchIndex):
    """A `SearchIndex` in a file of its own."""

    def _insert_passages(
        self, session: Session, place: int, rows: Sequence[tuple[int, Passage]]
    ) -> None:
        session.executemany(INSERT, [(number, passage.data) for number, passage in rows])
        session.executemany(INSERT_WORDS, [(number, passage.words) for number, passage in rows])
        compressor = zlib.compressobj(_FASTEST)
        lines = ("\n" * (index > 0) + passage.words for index, (_, passage) in enumerate(rows))
        parts = [compressor.compress(line.encode()) for line in lines]
        session.execute(INSERT_REMOVAL, (place, b"".join([*parts, compressor.flush()])))

    def _delete_words(self, session: Session, place: int) -> None:
        (packed,) = session.execute(REMOVAL, (place,)).fetchone()
        lines = zlib.decompress(packed).decode().split("\n")
        session.executemany(DELETE_WORDS, list(enumerate(lines, number_of(place))))

    async def select(self, selection: Selection, after: int, limit: int) -> list[int]:
        query = quoted(selection, '"', " *", " AND ", " OR ")
        return [number for (number,) in await self.database.rows(SELECT, (query, after, limit))]

    async def vectors(self, places: Sequence[int]) -> list[tuple[int, bytes]]:
        # 100,000 passages have 200 MB; to read them page by page takes five times as long.
        await self.database.read(lambda session: session.execute(MAPPED).fetchall())
        return await super().vectors(places)

    async def clear(self) -> None:
        def clear(session: Session) -> None:
            for statement in CLEAR:
                session.execute(statement)

        await self.database.write(clear)

    async def scrub(self) -> None:
        # Words of deleted passages remain until they are merged with others.
        await self.database.write(lambda session: session.execute(MERGE))
        await super().scrub()
