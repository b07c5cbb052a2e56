"""The search index in PostgreSQL: a GIN index tells which passages have words."""

from __future__ import annotations

from collections.abc import Sequence

from sttbatch.core.search import Passage, Selection
from sttbatch.database.search_index import SqlSearchIndex, quoted
from sttbatch.database.store import Session

INSERT = "INSERT INTO search_passages (id, data, words) VALUES (?, ?, array_to_tsvector(?))"
SELECT = """
    SELECT id FROM search_passages WHERE words @@ CAST(? AS tsquery) AND id > ?
    ORDER BY id LIMIT ?"""
CLEAR = """
    TRUNCATE search_passages, search_transcripts, search_outputs, search_vectors, search_model"""


class PostgreSQLSearchIndex(SqlSearchIndex):
    """A `SearchIndex` in the schema of the ledger."""

    def _insert_passages(
        self, session: Session, place: int, rows: Sequence[tuple[int, Passage]]
    ) -> None:
        del place
        session.executemany(
            INSERT, [(number, passage.data, passage.words.split()) for number, passage in rows]
        )

    def _delete_words(self, session: Session, place: int) -> None:
        """Do nothing: they are in the rows of passages."""

    async def select(self, selection: Selection, after: int, limit: int) -> list[int]:
        query = quoted(selection, "'", ":*", " & ", " | ")
        return [number for (number,) in await self.database.rows(SELECT, (query, after, limit))]

    async def clear(self) -> None:
        await self.database.write(lambda session: session.execute(CLEAR))
