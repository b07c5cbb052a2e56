"""The statements over `cache_entries` and `entry_files`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sttbatch.caching.levels import Checked, seal
from sttbatch.database.session import Session

CHECKED_AT_A_TIME = 16

PUT = """
    INSERT INTO cache_entries (key, value, sha256, engine, model, audio_s, created_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, sha256 = excluded.sha256, engine = excluded.engine,
        model = excluded.model, audio_s = excluded.audio_s, created_at = excluded.created_at,
        expires_at = excluded.expires_at"""
# REPLACE would delete the row first, and with it whose recordings it belongs to.
LINK = """
    INSERT OR IGNORE INTO entry_files (file_sha256, key)
    SELECT ?, key FROM cache_entries WHERE key = ?"""
NOTE = "UPDATE cache_entries SET accessed_at = ?, access_count = access_count + ? WHERE key = ?"
DELETE = "DELETE FROM cache_entries WHERE key = ?"
DELETE_MATCHING = "DELETE FROM cache_entries WHERE key GLOB ?"
DELETE_EXPIRED = "DELETE FROM cache_entries WHERE expires_at IS NOT NULL AND expires_at <= ?"
DELETE_OLD = "DELETE FROM cache_entries WHERE created_at <= ?"
DELETE_MODEL = "DELETE FROM cache_entries WHERE model = ? RETURNING key"
MOST_USED = """
    SELECT key, access_count FROM cache_entries WHERE access_count > 0
    ORDER BY access_count DESC LIMIT ?"""
USAGE = """
    SELECT COUNT(*), COALESCE(SUM(LENGTH(value)), 0), MIN(created_at), MAX(created_at)
    FROM cache_entries"""


def select_many(count: int) -> str:
    """The look-up of `count` keys."""
    marks = ",".join("?" * count)
    return f"""SELECT key, value, sha256, created_at, expires_at
               FROM cache_entries WHERE key IN ({marks})"""  # noqa: S608 - question marks only


def select(db: Session, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return db.execute(select_many(len(keys)), keys).fetchall()


def select_ages(count: int) -> str:
    """How old `count` entries are."""
    marks = ",".join("?" * count)
    return f"""SELECT key, created_at, expires_at
               FROM cache_entries WHERE key IN ({marks})"""  # noqa: S608 - question marks only


def ages(db: Session, keys: Sequence[str]) -> list[tuple[str, float, float | None]]:
    return db.execute(select_ages(len(keys)), keys).fetchall()


def linked(count: int) -> str:
    """The entries of `count` recordings: those made of them, and those at their cuts."""
    marks = ",".join("?" * count)
    return f"""SELECT key FROM entry_files WHERE file_sha256 IN ({marks})
               UNION SELECT chunk_key FROM cuts WHERE file_sha256 IN ({marks})"""  # noqa: S608


def linked_to(db: Session, file_sha256s: Sequence[str]) -> list[str]:
    rows = db.execute(linked(len(file_sha256s)), (*file_sha256s, *file_sha256s))
    return [key for (key,) in rows]


def checked_after(db: Session, last: int) -> list[Checked]:
    """The next values after row `last`, hashed again."""
    rows = db.execute(
        """SELECT rowid, CAST(key AS BLOB), CASE typeof(value) WHEN 'blob' THEN value END, sha256
           FROM cache_entries WHERE rowid > ? ORDER BY rowid LIMIT ?""",
        (last, CHECKED_AT_A_TIME),
    )
    return [_checked(*row) for row in rows]


def _checked(row: int, key: bytes | None, data: bytes | None, sha256: object) -> Checked:
    name = (key or b"").decode("utf-8", "backslashreplace")
    return Checked(name, row, data is not None and seal(name, data) == sha256)
