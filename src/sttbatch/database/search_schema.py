"""The tables of the search index, in SQLite and in PostgreSQL."""

from __future__ import annotations

from sttbatch.database.migrations import History

_TRANSCRIPTS = (
    # `place` numbers transcripts from the newest on; NULL: a newer one of the same content and
    # stream is indexed.
    """CREATE TABLE search_transcripts (
        key TEXT PRIMARY KEY,
        file_sha256 TEXT NOT NULL,
        stream INTEGER NOT NULL,
        created_at REAL NOT NULL,
        version TEXT NOT NULL,
        language TEXT,
        edit TEXT NOT NULL,
        place INTEGER UNIQUE
    ) STRICT""",
    "CREATE INDEX search_transcripts_content ON search_transcripts (file_sha256, stream)",
    # Outputs whose files are not as they were written, and whether their text is.
    """CREATE TABLE search_outputs (
        path BLOB PRIMARY KEY,
        file_state TEXT NOT NULL,
        is_edited INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

_VECTORS = (
    # At most one row: all vectors are by one model.
    """CREATE TABLE search_model (
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        version TEXT NOT NULL,
        dimension INTEGER NOT NULL
    ) STRICT""",
    # float32, those of a transcript one after another.
    """CREATE TABLE search_vectors (
        place INTEGER NOT NULL PRIMARY KEY, vectors BLOB NOT NULL) STRICT""",
)

SQLITE_SEARCH_HISTORY = History(
    "sttbatch.search",
    "the search index",
    {
        "0001_passages": (
            *_TRANSCRIPTS,
            "CREATE TABLE search_passages (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT",
            # The words of each passage of a transcript, compressed: SQLite takes a passage out of
            # `search_words` only if it is told its words.
            "CREATE TABLE search_removals (place INTEGER PRIMARY KEY, words BLOB NOT NULL) STRICT",
            # Words are letters and digits, in which its tokenizer changes nothing.
            """CREATE VIRTUAL TABLE search_words USING fts5(
                words, content = '', columnsize = 0, detail = none, tokenize = 'ascii')""",
        ),
        "0002_vectors": _VECTORS,
    },
)
POSTGRESQL_SEARCH_HISTORY = History(
    "sttbatch.search",
    "the search index",
    {
        "0001_passages": (
            *_TRANSCRIPTS,
            """CREATE TABLE search_passages (
                id INTEGER NOT NULL PRIMARY KEY, data BLOB NOT NULL, words tsvector NOT NULL)""",
            "CREATE INDEX search_passages_words ON search_passages USING gin (words)",
        ),
        # They do not get smaller.
        "0002_vectors": (
            *_VECTORS,
            "ALTER TABLE search_vectors ALTER COLUMN vectors SET STORAGE EXTERNAL",
        ),
    },
)
