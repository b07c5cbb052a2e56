"""All that the ledger knows of a recording, removed from every table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sttbatch.core.file_records import ErasedRecording, RecordingIdentity
from sttbatch.database.session import Session

FORGOTTEN = "forgotten"
"""Stands for a chunk's key in `requests`: the key is a hash of the recording's sound."""

ENTRIES = "SELECT key FROM entry_files WHERE file_sha256 = ?"
SPANS = "SELECT chunk_key FROM cuts WHERE file_sha256 = ?"
CHUNKS = """
    SELECT chunk_key FROM chunk_tasks WHERE task_id IN (
        SELECT id FROM processing_tasks WHERE job_id IN (
            SELECT id FROM processing_jobs WHERE file_sha256 = ?))"""
PATHS = "SELECT path FROM files WHERE sha256 = ?"
RUNNING_JOBS = """
    SELECT COUNT(*) FROM processing_jobs WHERE file_sha256 = ? AND status = 'PROCESSING'"""

# Requests keep what was paid and whether they failed, not the chunk's key, nor what the endpoint
# said.
ANONYMIZE = f"""
    UPDATE requests SET chunk_key = '{FORGOTTEN}',
        error = CASE WHEN status IS NULL OR error IS NULL THEN error ELSE '{FORGOTTEN}' END
    WHERE chunk_key = ?"""  # noqa: S608 - of constants


def erase(session: Session, recording: RecordingIdentity) -> ErasedRecording:
    """Remove `recording` from every table but `requests`, in which it becomes anonymous."""
    contents = recording.file_sha256s
    keys: list[str] = _select(session, (ENTRIES, SPANS, CHUNKS), contents)
    # A path may have come since the caller looked for them.
    paths = sorted({*recording.paths, *_select(session, (PATHS,), contents)})
    running = sum(session.execute(RUNNING_JOBS, (each,)).fetchone()[0] for each in contents)
    session.executemany(ANONYMIZE, [(key,) for key in keys])
    delete, jobs = partial(_delete, session), contents + recording.unreadable
    entries = delete("DELETE FROM cache_entries WHERE key = ?", keys)
    rows = {
        "cuts": delete("DELETE FROM cuts WHERE file_sha256 = ?", contents),
        "chunk_tasks": delete("DELETE FROM chunk_tasks WHERE chunk_key = ?", keys),
        "processing_jobs": delete("DELETE FROM processing_jobs WHERE file_sha256 = ?", jobs),
        "outputs": delete("DELETE FROM outputs WHERE source = ?", paths),
        "files": delete("DELETE FROM files WHERE path = ?", paths)
        + delete("DELETE FROM files WHERE sha256 = ?", contents),
    }
    return ErasedRecording(tuple(keys), entries, rows, running)


def _select(session: Session, statements: Sequence[str], values: Sequence[str]) -> list[Any]:
    rows = [
        row
        for statement in statements
        for value in values
        for row in session.execute(statement, (value,))
    ]
    return list(dict.fromkeys(value for (value,) in rows))


def _delete(session: Session, statement: str, values: Sequence[object]) -> int:
    return session.executemany(statement, [(value,) for value in values]).rowcount if values else 0
