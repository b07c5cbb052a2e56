"""What the ledger knows of a recording, in every table: found and removed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sttbatch.caching.entry_rows import linked
from sttbatch.caching.file_index import unread_content
from sttbatch.database.session import Session

FORGOTTEN = "forgotten"
"""Stands for a chunk's key in `requests`: the key is a hash of the recording's sound."""

_TASKS = """
    SELECT chunk_key FROM chunk_tasks WHERE task_id IN (
        SELECT id FROM processing_tasks WHERE job_id IN (
            SELECT id FROM processing_jobs WHERE file_sha256 = ?))"""
_IN_PROGRESS = """
    SELECT COUNT(*) FROM processing_jobs WHERE file_sha256 = ? AND status = 'PROCESSING'"""

_JOBS = "DELETE FROM processing_jobs WHERE file_sha256 = ?"
_UNREAD = "SELECT 1 FROM processing_jobs WHERE file_sha256 = ? LIMIT 1"


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a recording is known.

    Attributes:
        contents: its SHA-256; several where the file at a path has changed.
        keys: of cache entries.
        paths: of files that hold or held this content.
        in_progress: jobs that some run has in hand.
    """

    contents: tuple[str, ...]
    keys: tuple[str, ...]
    paths: tuple[bytes, ...]
    in_progress: int


def spellings(path: Path) -> tuple[Path, ...]:
    """The ways in which the ledger may have written a path down: as given, or resolved."""
    whole = path.absolute()
    plain = Path(os.path.normpath(whole))
    real = Path(os.path.realpath(plain.parent), plain.name)
    return tuple(dict.fromkeys((whole, plain, real)))


def find(db: Session, contents: Sequence[str], path: Path) -> Traces:
    """Everything that is tied to `contents`, or to the file at `path`."""
    keys: set[str] = set()
    paths = {os.fsencode(each) for each in spellings(path)}
    in_progress = 0
    for sha256 in contents:
        keys |= {key for (key,) in db.execute(linked(1), (sha256, sha256))}
        keys |= {key for (key,) in db.execute(_TASKS, (sha256,))}
        for (name,) in db.execute("SELECT path FROM files WHERE sha256 = ?", (sha256,)):
            paths |= {os.fsencode(each) for each in spellings(Path(os.fsdecode(name)))}
        in_progress += db.execute(_IN_PROGRESS, (sha256,)).fetchone()[0]
    return Traces(tuple(contents), tuple(sorted(keys)), tuple(sorted(paths)), in_progress)


def failed_unread(db: Session, path: Path) -> bool:
    """Whether the file was named as one that cannot be read."""
    contents = {unread_content(each) for each in spellings(path)}
    return any(db.execute(_UNREAD, (each,)).fetchone() for each in contents)


def remove(db: Session, found: Traces) -> dict[str, int]:
    """Remove all of it but cache entries, which have levels; returns rows by table.

    `requests` keep what was paid, without the chunk's key and the endpoint's words.
    """
    contents = [(sha256,) for sha256 in found.contents]
    keys = [(key,) for key in found.keys]
    paths = [(path,) for path in found.paths]
    unread = [(unread_content(Path(os.fsdecode(path))),) for path in found.paths]
    db.executemany(
        "UPDATE requests SET chunk_key = ?, error = NULL WHERE chunk_key = ?",
        [(FORGOTTEN, key) for key in found.keys],
    )
    statements: tuple[tuple[str, str, list[tuple[str]] | list[tuple[bytes]]], ...] = (
        ("cuts", "DELETE FROM cuts WHERE file_sha256 = ?", contents),
        ("chunk_tasks", "DELETE FROM chunk_tasks WHERE chunk_key = ?", keys),
        ("processing_jobs", _JOBS, contents + unread),
        ("outputs", "DELETE FROM outputs WHERE source = ?", paths),
        ("files", "DELETE FROM files WHERE path = ?", paths),
        ("files", "DELETE FROM files WHERE sha256 = ?", contents),
    )
    removed = dict.fromkeys((table for table, _, _ in statements), 0)
    for table, statement, rows in statements:
        removed[table] += db.executemany(statement, rows).rowcount if rows else 0
    return removed
