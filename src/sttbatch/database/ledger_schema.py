"""The ledger's tables, as numbered steps; a released step never changes."""

from __future__ import annotations

from sttbatch.database.first_ledger_steps import FIRST_STEPS
from sttbatch.database.migrations import History, Steps

LEDGER: Steps = {
    **FIRST_STEPS,
    "0010_orders": (
        # Who asked for which outputs of a job, where; `outputs` is JSON, `written` the path of the
        # first output, `force` 1 if the job's stored results are sent again.
        """CREATE TABLE orders (
            id TEXT PRIMARY KEY,
            job_id TEXT NOT NULL REFERENCES processing_jobs (id) ON DELETE CASCADE,
            path BLOB NOT NULL,
            root BLOB NOT NULL,
            outputs TEXT NOT NULL,
            route TEXT NOT NULL,
            force INTEGER NOT NULL DEFAULT 0,
            ordered_at REAL NOT NULL,
            done_at REAL,
            error TEXT,
            written BLOB
        ) STRICT""",
        "CREATE INDEX orders_job ON orders (job_id)",
        # A host that does not see a recording, or finds other content in its place.
        """CREATE TABLE unseen (
            job_id TEXT NOT NULL REFERENCES processing_jobs (id) ON DELETE CASCADE,
            host TEXT NOT NULL,
            reason TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (job_id, host)
        ) STRICT, WITHOUT ROWID""",
        # Which workers may take a job; NULL: no order of it is open, so that none may.
        "ALTER TABLE processing_jobs ADD COLUMN route TEXT",
        """CREATE INDEX processing_jobs_ordered
           ON processing_jobs (route, status, priority DESC, created_at)
           WHERE route IS NOT NULL""",
        "ALTER TABLE workers ADD COLUMN lanes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE workers ADD COLUMN busy_lanes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE workers ADD COLUMN recordings INTEGER NOT NULL DEFAULT 0",
        # Empty for a run of `transcribe`, which is not ordered anything.
        "ALTER TABLE workers ADD COLUMN state TEXT NOT NULL DEFAULT ''",
    ),
    "0011_output_hosts": (
        # The machine that wrote an output, in a ledger of several: others need not see its folder.
        "ALTER TABLE outputs ADD COLUMN host TEXT NOT NULL DEFAULT ''",
    ),
    "0012_worker_routes": (
        # Which jobs a worker may take.
        "ALTER TABLE workers ADD COLUMN route TEXT NOT NULL DEFAULT ''",
    ),
    "0013_rung": (
        # When a broker last got a message of a job; NULL: it has not, since the job was queued.
        "ALTER TABLE processing_jobs ADD COLUMN rung_at REAL",
    ),
    "0014_sealed": (
        # The ids of the keys that sealed payloads and orders; without them nothing can be done.
        "CREATE TABLE payload_keys (id TEXT PRIMARY KEY) STRICT",
        # A payload may be sealed, which does not change what it says.
        "DROP TRIGGER processing_jobs_payload",
        """CREATE TRIGGER processing_jobs_payload BEFORE UPDATE ON processing_jobs
           WHEN NEW.payload <> OLD.payload AND substr(NEW.payload, 1, 7) <> 'fernet:'
             OR NEW.file_sha256 <> OLD.file_sha256
             OR NEW.request_sha256 <> OLD.request_sha256 OR NEW.stream <> OLD.stream
             OR NEW.id <> OLD.id OR NEW.job_type <> OLD.job_type
             OR NEW.max_retries <> OLD.max_retries OR NEW.created_at <> OLD.created_at
           BEGIN SELECT RAISE(ABORT, 'a job never changes after it was queued'); END""",
    ),
    "0015_generated": (
        # How much of the quantity a language model wrote, which has a price of its own.
        "ALTER TABLE requests ADD COLUMN generated REAL NOT NULL DEFAULT 0",
    ),
    "0016_search": (
        # Which transcripts there are, without reading them.
        """CREATE INDEX cache_entries_transcripts ON cache_entries (key, created_at, expires_at)
           WHERE key >= 'transcript:' AND key < 'transcript;'""",
        "CREATE INDEX files_sha256 ON files (sha256)",
    ),
    "0017_names": (
        # Of the speakers of a recording, whose transcripts have their numbers.
        """CREATE TABLE speaker_names (
            file_sha256 TEXT NOT NULL,
            speaker TEXT NOT NULL,
            name TEXT NOT NULL,
            PRIMARY KEY (file_sha256, speaker)
        ) STRICT, WITHOUT ROWID""",
        # Rules of replacement, as outputs were written with them.
        "CREATE TABLE dictionaries (sha256 TEXT PRIMARY KEY, rules TEXT NOT NULL) STRICT",
        # How an output is made again: of which transcript, by what options as JSON, and by which
        # dictionary; NULL: an earlier version wrote it, or it is no transcript.
        "ALTER TABLE outputs ADD COLUMN transcript_key TEXT",
        "ALTER TABLE outputs ADD COLUMN recipe TEXT",
        "ALTER TABLE outputs ADD COLUMN dictionary TEXT",
    ),
}

LEDGER_HISTORY = History("sttbatch.ledger", "the ledger", LEDGER)
