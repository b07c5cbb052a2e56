"""The rules of DESIGN 5, in code and in SQL alike, from one table."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSCRIPTION, Job, JobPriority, JobSpec, JobStatus
from sttbatch.core.work import AUDIO_SECONDS, Usage
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.store import Session, Store
from tests.database.backends import Backend
from tests.queue.harness import spec

Q, P, C, F, X = (
    JobStatus.QUEUED,
    JobStatus.PROCESSING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)
ALLOWED = {(Q, P), (Q, X), (P, C), (P, F), (P, X), (P, Q), (F, Q), (X, Q)}
RETRIES = r"(?i)no way to count retries|check.* constraint"
ALL_PAIRS = list(itertools.product(JobStatus, JobStatus))


def job(status: JobStatus, retry_count: int = 0, max_retries: int = 3) -> Job:
    return Job(
        "0123456789", "f" * 64, 0, "r", spec("a.mp3"), JobPriority.MEDIUM, status,
        retry_count, max_retries, 0, "w" if status is P else None, 1.0, None, None, None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A ledger that every test leaves empty."""
    opened = backend.store(tmp_path_factory.mktemp("jobs"), LEDGER_HISTORY, time.time)
    opened.open()
    with contextlib.closing(opened):
        yield opened


class Undone(Exception):
    """It was allowed, and nothing of it stays."""


def change(store: Store, row: Job, *statements: str, values: Sequence[object] = ()) -> None:
    """Change a job; the values are for the last statement."""

    def work(db: Session) -> None:
        insert(db, row)
        for statement in statements[:-1]:
            db.execute(statement)
        db.execute(statements[-1], values)
        raise Undone

    with contextlib.suppress(Undone):
        store.transact(work)


def refused(
    store: Store, reason: str, row: Job, *statements: str, values: Sequence[object] = ()
) -> None:
    with pytest.raises(store.faults, match=reason):
        change(store, row, *statements, values=values)


def insert(db: Session, row: Job) -> None:
    db.execute(
        """INSERT INTO processing_jobs (id, file_sha256, stream, request_sha256, payload, status,
                                        retry_count, max_retries, worker_id, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            row.id,
            row.file_sha256,
            row.stream,
            row.request_sha256,
            row.spec.to_json(),
            row.status,
            row.retry_count,
            row.max_retries,
            row.worker_id,
            row.created_at,
        ),
    )


@pytest.mark.parametrize(("old", "new"), ALL_PAIRS)
def test_code_and_sql_allow_the_same_transitions(
    store: Store, old: JobStatus, new: JobStatus
) -> None:
    update = """UPDATE processing_jobs SET status = ?, worker_id = ?,
                claim_number = claim_number + ?, retry_count = retry_count + ?"""
    worker_id = "w" if new is P else None
    values = (new, worker_id, int((old, new) == (Q, P)), int((old, new) == (F, Q)))
    if (old, new) in ALLOWED:
        job(old).check_may_become(new)
        change(store, job(old), update, values=values)
        return
    with pytest.raises(UsageError, match=f"is {old} and cannot become {new}"):
        job(old).check_may_become(new)
    refused(store, "cannot change its state", job(old), update, values=values)


@pytest.mark.parametrize(
    "columns",
    [
        "payload = '{}'",
        "file_sha256 = 'another'",
        "stream = 1",
        "request_sha256 = 'another'",
        "id = 'another'",
        "max_retries = 5",
        "created_at = 2.0",
        "job_type = 'TRANSLATION'",
    ],
)
@pytest.mark.parametrize("status", list(JobStatus))
def test_what_was_asked_for_never_changes(store: Store, status: JobStatus, columns: str) -> None:
    update = f"UPDATE processing_jobs SET {columns}"
    refused(store, "never changes after it was queued", job(status), update)


@pytest.mark.parametrize("status", list(JobStatus))
def test_priority_changes_only_while_queued(store: Store, status: JobStatus) -> None:
    update = "UPDATE processing_jobs SET priority = 3"
    if status is Q:
        change(store, job(status), update)
        return
    refused(store, "priority changes only", job(status), update)


@pytest.mark.parametrize(
    "columns",
    [
        "claim_number = claim_number + 1",
        "worker_id = 'thief'",
        "status = 'QUEUED', worker_id = NULL, claim_number = claim_number - 1",
    ],
)
def test_a_job_at_work_cannot_be_taken_without_the_queue(store: Store, columns: str) -> None:
    refused(
        store, "the next number and one holder", job(P), f"UPDATE processing_jobs SET {columns}"
    )


@pytest.mark.parametrize(
    ("old", "columns"),
    [
        (job(P, 1), "status = 'QUEUED', worker_id = NULL, retry_count = 3"),
        (job(P, 1), "status = 'QUEUED', worker_id = NULL, retry_count = 0"),
        (job(P, 3), "status = 'QUEUED', worker_id = NULL, retry_count = 4"),
        (job(F, 1), "status = 'QUEUED', retry_count = 0"),
        (job(F, 3), "status = 'QUEUED'"),
        (job(X, 2), "status = 'QUEUED', retry_count = 0"),
        (job(Q, 1), "retry_count = 0"),
    ],
)
def test_retries_are_counted_one_by_one(store: Store, old: Job, columns: str) -> None:
    refused(store, RETRIES, old, f"UPDATE processing_jobs SET {columns}")


@pytest.mark.parametrize(
    ("failed", "expected"), [(job(F, 0), 1), (job(F, 2), 3), (job(F, 3), 0), (job(X, 2), 2)]
)
def test_a_revival_counts_as_a_retry_and_a_dead_letter_begins_anew(
    store: Store, failed: Job, expected: int
) -> None:
    assert failed.revived_retry_count == expected
    assert failed.is_dead_letter == (failed.retry_count == 3)
    update = "UPDATE processing_jobs SET status = 'QUEUED', retry_count = ?"
    change(store, failed, update, values=(expected,))


@pytest.mark.parametrize("first", [Q, P])
@pytest.mark.parametrize("second", list(JobStatus))
def test_one_active_job_for_a_content_and_request(
    store: Store, first: JobStatus, second: JobStatus
) -> None:
    begun = "UPDATE processing_jobs SET started_at = 1.0"
    columns = "'other', file_sha256, stream, request_sha256, payload, ?, ?, 2.0"
    insertion = f"""INSERT INTO processing_jobs (id, file_sha256, stream, request_sha256, payload,
                    status, worker_id, created_at) SELECT {columns} FROM processing_jobs"""
    values = (second, "w" if second is P else None)
    if second in {Q, P}:
        refused(store, r"(?i)unique", job(first), begun, insertion, values=values)
    else:
        change(store, job(first), begun, insertion, values=values)


def test_priorities_are_ordered() -> None:
    assert JobPriority.HIGH > JobPriority.MEDIUM > JobPriority.LOW


@pytest.mark.parametrize("version", [1, 2])
def test_what_was_asked_for_survives_the_ledger_and_names_that_are_no_utf8(version: int) -> None:
    payload = {"recording": "sp\udcffch.mp3", "audio_s": 1.5, "request": {"language": None}}
    asked = JobSpec(TRANSCRIPTION, version, payload)
    text = asked.to_json()
    assert text.isascii()
    assert ("version" in text) is (version > 1)
    assert JobSpec.from_json(TRANSCRIPTION, text) == asked
    assert (asked.title, asked.usage) == ("sp\udcffch.mp3", Usage(AUDIO_SECONDS, 1.5))


@pytest.mark.parametrize(
    ("facts", "usage"),
    [
        ({"unit": "tokens", "quantity": 900}, Usage("tokens", 900.0)),
        ({"audio_s": 1.5}, Usage(AUDIO_SECONDS, 1.5)),
        ({}, Usage(AUDIO_SECONDS, 0.0)),
    ],
)
def test_a_job_is_measured_in_the_unit_that_its_kind_is_billed_in(
    facts: dict[str, float], usage: Usage
) -> None:
    assert JobSpec("summary", 1, facts).usage == usage


def test_a_row_of_the_version_before_is_read_as_it_is() -> None:
    text = '{"audio_s": 60.0, "recording": "a.mp3", "request": {"model": "m"}}'
    asked = JobSpec.from_json(TRANSCRIPTION, text)
    assert (asked.version, asked.title, asked.usage.quantity) == (1, "a.mp3", 60.0)
    assert asked.to_json() == text
