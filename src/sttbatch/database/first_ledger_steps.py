"""The first steps of the ledger's schema: the tables of one machine, and their changes."""

from __future__ import annotations

from sttbatch.database.migrations import Steps

FIRST_STEPS: Steps = {
    "0001_results": (
        # Results that were paid for. `value` is JSON; `sha256` is the checksum of key and value.
        """CREATE TABLE cache_entries (
            key TEXT PRIMARY KEY,
            value BLOB NOT NULL,
            sha256 BLOB NOT NULL,
            engine TEXT NOT NULL,
            model TEXT NOT NULL,
            audio_s REAL NOT NULL,
            created_at REAL NOT NULL
        ) STRICT""",
        # One row per request, kept for ever: costs are summed from these.
        """CREATE TABLE requests (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            chunk_key TEXT NOT NULL,
            engine TEXT NOT NULL,
            model TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            status INTEGER,
            error TEXT,
            request_id TEXT,
            latency_s REAL NOT NULL,
            audio_s REAL NOT NULL,
            sent_bytes INTEGER NOT NULL,
            cost REAL NOT NULL,
            maybe_paid INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX requests_at ON requests (at)",
        "CREATE INDEX requests_chunk_key ON requests (chunk_key)",
    ),
    "0002_recordings": (
        """CREATE TABLE files (
            path BLOB PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            ctime_ns INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            indexed_at_ns INTEGER NOT NULL,
            sha256 TEXT NOT NULL
        ) STRICT""",
        # Where a recording was cut, so that a later run with other flags reuses every span
        # that has words. `request_sha256` is a hash of everything that decides an answer.
        """CREATE TABLE cuts (
            file_sha256 TEXT NOT NULL,
            stream INTEGER NOT NULL,
            request_sha256 TEXT NOT NULL,
            start_pts INTEGER NOT NULL,
            end_pts INTEGER NOT NULL,
            start_overlap INTEGER NOT NULL,
            end_overlap INTEGER NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            anchors TEXT NOT NULL,
            chunk_key TEXT NOT NULL,
            PRIMARY KEY (file_sha256, stream, request_sha256, start_pts, end_pts)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX cuts_chunk_key ON cuts (chunk_key)",
        # `source` is the recording that owns the name, `sha256` the digest that was written.
        """CREATE TABLE outputs (
            path BLOB PRIMARY KEY,
            source BLOB NOT NULL,
            format TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            written_at REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX outputs_source ON outputs (source)",
    ),
    "0003_levels": (
        # NULL: never expires, which is the default.
        "ALTER TABLE cache_entries ADD COLUMN expires_at REAL",
        "ALTER TABLE cache_entries ADD COLUMN accessed_at REAL",
        "ALTER TABLE cache_entries ADD COLUMN access_count INTEGER NOT NULL DEFAULT 0",
        """CREATE INDEX cache_entries_expires_at ON cache_entries (expires_at)
           WHERE expires_at IS NOT NULL""",
        "CREATE INDEX cache_entries_model ON cache_entries (model)",
        "CREATE INDEX cache_entries_access_count ON cache_entries (access_count)",
        # Which recordings use an entry, so that everything about a recording can be removed.
        """CREATE TABLE entry_files (
            file_sha256 TEXT NOT NULL,
            key TEXT NOT NULL REFERENCES cache_entries (key) ON DELETE CASCADE,
            PRIMARY KEY (file_sha256, key)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX entry_files_key ON entry_files (key)",
        # What an output was made from, and the state of its file then, so that a run over
        # finished recordings opens none of them.
        "ALTER TABLE outputs ADD COLUMN made_from TEXT",
        "ALTER TABLE outputs ADD COLUMN file_state TEXT",
        "ALTER TABLE outputs ADD COLUMN audio_s REAL",
    ),
    "0004_queue": (
        # One row per process, which is alive as long as it holds its file lock. `heartbeat_at`
        # counts only between machines.
        """CREATE TABLE workers (
            id TEXT PRIMARY KEY,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            started_at REAL NOT NULL,
            heartbeat_at REAL NOT NULL
        ) STRICT""",
        # One recording and request; `payload` is JSON and never changes once queued.
        # `claim_number` grows with every claim, so that an expired claim is recognised.
        """CREATE TABLE processing_jobs (
            id TEXT PRIMARY KEY,
            job_type TEXT NOT NULL DEFAULT 'TRANSCRIPTION',
            file_sha256 TEXT NOT NULL,
            stream INTEGER NOT NULL,
            request_sha256 TEXT NOT NULL,
            payload TEXT NOT NULL,
            priority INTEGER NOT NULL DEFAULT 2 CHECK (priority IN (1, 2, 3)),
            status TEXT NOT NULL DEFAULT 'QUEUED' CHECK (
                status IN ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED')
            ),
            retry_count INTEGER NOT NULL DEFAULT 0,
            max_retries INTEGER NOT NULL DEFAULT 3,
            claim_number INTEGER NOT NULL DEFAULT 0,
            worker_id TEXT,
            created_at REAL NOT NULL,
            started_at REAL,
            completed_at REAL,
            error_message TEXT,
            CHECK (retry_count BETWEEN 0 AND max_retries),
            CHECK ((status = 'PROCESSING') = (worker_id IS NOT NULL))
        ) STRICT""",
        """CREATE UNIQUE INDEX processing_jobs_active
           ON processing_jobs (file_sha256, stream, request_sha256)
           WHERE status IN ('QUEUED', 'PROCESSING')""",
        """CREATE INDEX processing_jobs_content
           ON processing_jobs (file_sha256, stream, request_sha256)""",
        """CREATE INDEX processing_jobs_queue
           ON processing_jobs (status, priority DESC, created_at)""",
        "CREATE INDEX processing_jobs_ended ON processing_jobs (status, completed_at)",
        "CREATE INDEX processing_jobs_created ON processing_jobs (created_at)",
        """CREATE INDEX processing_jobs_worker ON processing_jobs (worker_id)
           WHERE worker_id IS NOT NULL""",
        """CREATE TRIGGER processing_jobs_status BEFORE UPDATE OF status ON processing_jobs
           WHEN NOT (
               (OLD.status = 'QUEUED' AND NEW.status IN ('PROCESSING', 'CANCELLED'))
               OR (OLD.status = 'PROCESSING'
                   AND NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'QUEUED'))
               OR (OLD.status IN ('FAILED', 'CANCELLED') AND NEW.status = 'QUEUED')
           )
           BEGIN SELECT RAISE(ABORT, 'a job cannot change its state that way'); END""",
        """CREATE TRIGGER processing_jobs_payload BEFORE UPDATE ON processing_jobs
           WHEN NEW.payload <> OLD.payload OR NEW.file_sha256 <> OLD.file_sha256
             OR NEW.request_sha256 <> OLD.request_sha256 OR NEW.stream <> OLD.stream
             OR NEW.id <> OLD.id OR NEW.job_type <> OLD.job_type
             OR NEW.max_retries <> OLD.max_retries OR NEW.created_at <> OLD.created_at
           BEGIN SELECT RAISE(ABORT, 'a job never changes after it was queued'); END""",
        """CREATE TRIGGER processing_jobs_priority BEFORE UPDATE OF priority ON processing_jobs
           WHEN NEW.priority <> OLD.priority AND OLD.status <> 'QUEUED'
           BEGIN SELECT RAISE(ABORT, 'priority changes only while a job is queued'); END""",
        # A job passes from one worker to another through the queue alone, and each claim has
        # the next number.
        """CREATE TRIGGER processing_jobs_claim BEFORE UPDATE ON processing_jobs
           WHEN NEW.claim_number <> OLD.claim_number
                   + (OLD.status = 'QUEUED' AND NEW.status = 'PROCESSING')
             OR (NEW.status = OLD.status AND NEW.worker_id IS NOT OLD.worker_id)
           BEGIN SELECT RAISE(ABORT, 'a claim has the next number and one holder'); END""",
        # A retry counts while retries are left; a dead letter that is revived starts at 0.
        """CREATE TRIGGER processing_jobs_retry BEFORE UPDATE ON processing_jobs
           WHEN NEW.retry_count <> CASE
               WHEN OLD.status = 'FAILED' AND NEW.status = 'QUEUED'
                   THEN iif(OLD.retry_count < OLD.max_retries, OLD.retry_count + 1, 0)
               WHEN OLD.status = 'PROCESSING' AND NEW.status = 'QUEUED'
                   THEN OLD.retry_count + (NEW.retry_count > OLD.retry_count)
               ELSE OLD.retry_count
           END
           BEGIN SELECT RAISE(ABORT, 'that is no way to count retries'); END""",
        # One worker's attempt at a job; its chunks are those that it claimed.
        """CREATE TABLE processing_tasks (
            id INTEGER PRIMARY KEY,
            job_id TEXT NOT NULL REFERENCES processing_jobs (id) ON DELETE CASCADE,
            claim_number INTEGER NOT NULL,
            worker_id TEXT NOT NULL,
            status TEXT NOT NULL DEFAULT 'PROCESSING' CHECK (
                status IN ('PROCESSING', 'COMPLETED', 'FAILED', 'RELEASED')
            ),
            total_chunks INTEGER NOT NULL DEFAULT 0,
            completed_chunks INTEGER NOT NULL DEFAULT 0,
            started_at REAL NOT NULL,
            completed_at REAL,
            UNIQUE (job_id, claim_number)
        ) STRICT""",
        """CREATE INDEX processing_tasks_open ON processing_tasks (worker_id)
           WHERE status = 'PROCESSING'""",
        # One chunk that a worker sends or sent; claimed by its key, so that two recordings (or
        # runs) that share audio do not both pay for it. `reserved_cost` counts against budgets
        # until the request has its row in `requests`.
        """CREATE TABLE chunk_tasks (
            chunk_key TEXT PRIMARY KEY,
            task_id INTEGER REFERENCES processing_tasks (id) ON DELETE SET NULL,
            worker_id TEXT NOT NULL,
            engine TEXT NOT NULL,
            model TEXT NOT NULL,
            chunk_index INTEGER NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('PROCESSING', 'COMPLETED', 'FAILED')),
            retry_count INTEGER NOT NULL DEFAULT 0,
            reserved_cost REAL NOT NULL DEFAULT 0,
            audio_s REAL NOT NULL DEFAULT 0,
            started_at REAL NOT NULL,
            completed_at REAL,
            error_message TEXT
        ) STRICT""",
        "CREATE INDEX chunk_tasks_task ON chunk_tasks (task_id)",
        """CREATE INDEX chunk_tasks_open ON chunk_tasks (status, worker_id, reserved_cost)
           WHERE status = 'PROCESSING'""",
        # The cost of a day or month is summed from the index alone, before each chunk.
        "DROP INDEX requests_at",
        "CREATE INDEX requests_at ON requests (at, cost)",
    ),
    "0005_latencies": (
        # The latest latencies are read before each run.
        """CREATE INDEX requests_answered ON requests (engine, model, at)
           WHERE error IS NULL""",
    ),
    "0006_alerts": (
        # Conditions that hold and were notified. A changed threshold is another condition.
        """CREATE TABLE alerts (
            name TEXT NOT NULL,
            condition TEXT NOT NULL,
            value REAL NOT NULL,
            fired_at REAL NOT NULL,
            PRIMARY KEY (name, condition)
        ) STRICT, WITHOUT ROWID""",
    ),
    "0007_units": (
        # Requests may be billed in seconds of audio or in another unit, such as tokens.
        "ALTER TABLE requests RENAME COLUMN audio_s TO quantity",
        "ALTER TABLE requests ADD COLUMN unit TEXT NOT NULL DEFAULT 'audio_seconds'",
        "ALTER TABLE chunk_tasks RENAME COLUMN audio_s TO quantity",
        "ALTER TABLE chunk_tasks ADD COLUMN unit TEXT NOT NULL DEFAULT 'audio_seconds'",
    ),
    "0008_replaced": (
        # A request that was booked for a dead run is deleted when its answer is recovered from the
        # spool. Its figures are added up here, so that lifetime totals never fall.
        """CREATE TABLE replaced_requests (
            engine TEXT NOT NULL,
            model TEXT NOT NULL,
            error TEXT NOT NULL,
            count INTEGER NOT NULL,
            maybe_paid INTEGER NOT NULL,
            cost_micros INTEGER NOT NULL,
            paid_micros INTEGER NOT NULL,
            PRIMARY KEY (engine, model, error)
        ) STRICT, WITHOUT ROWID""",
    ),
    "0009_unread": (
        # These were never read.
        "ALTER TABLE cache_entries DROP COLUMN engine",
        "ALTER TABLE cache_entries DROP COLUMN audio_s",
        "ALTER TABLE cache_entries DROP COLUMN accessed_at",
        "ALTER TABLE outputs DROP COLUMN written_at",
        "ALTER TABLE alerts DROP COLUMN value",
    ),
}
