"""The tables of metrics.db.

They name no recordings, since `cache invalidate --file` must leave no trace of one.
"""

from __future__ import annotations

from sttbatch.database.migrations import History, Steps

_TABLES = ("runs", "run_ends", "measurements")

METRICS: Steps = {
    "0001_measurements": (
        # `rate_limit`: requests a minute; NULL: none.
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            begun_at REAL NOT NULL,
            engine TEXT NOT NULL,
            model TEXT NOT NULL,
            lanes INTEGER NOT NULL,
            rate_limit INTEGER,
            price_per_second REAL NOT NULL,
            summary TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX runs_begun_at ON runs (begun_at)",
        # A separate row, so that recorded rows never change. A run without one is running or was
        # killed.
        """CREATE TABLE run_ends (
            run INTEGER PRIMARY KEY,
            ended_at REAL NOT NULL,
            done INTEGER NOT NULL,
            cached INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            remaining INTEGER NOT NULL,
            error TEXT
        ) STRICT""",
        # In the order in which windows are read. Rows of one request have the same `run` and
        # `number` under every metric; `subject` is the recording's ordinal in the run, and the
        # chunk's in the recording.
        """CREATE TABLE measurements (
            metric TEXT NOT NULL,
            at REAL NOT NULL,
            run INTEGER NOT NULL,
            number INTEGER NOT NULL,
            value REAL NOT NULL,
            label TEXT NOT NULL DEFAULT '',
            subject TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (metric, at, run, number)
        ) STRICT, WITHOUT ROWID""",
        *(
            f"""CREATE TRIGGER {table}_immutable BEFORE UPDATE ON {table}
            BEGIN SELECT RAISE(ABORT, 'what was measured never changes'); END"""
            for table in _TABLES
        ),
    ),
    "0002_carried": (
        # Sums of expired rows, since lifetime totals must not fall. `bound` is the upper bound of
        # a histogram's bucket, infinite for counters; sums are in whole millionths, which are
        # the same in any order.
        """CREATE TABLE carried (
            metric TEXT NOT NULL,
            label TEXT NOT NULL,
            bound REAL NOT NULL,
            count INTEGER NOT NULL,
            millionths INTEGER NOT NULL,
            PRIMARY KEY (metric, label, bound)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TRIGGER carried_grows BEFORE UPDATE ON carried
           WHEN NEW.metric <> OLD.metric OR NEW.label <> OLD.label OR NEW.bound <> OLD.bound
             OR NEW.count < OLD.count OR NEW.millionths < OLD.millionths
           BEGIN SELECT RAISE(ABORT, 'a total of all time never falls'); END""",
        """CREATE TRIGGER carried_stays BEFORE DELETE ON carried
           BEGIN SELECT RAISE(ABORT, 'a total of all time never falls'); END""",
    ),
    "0003_unread": (
        # It was never read, and contained the paths of the command line.
        "ALTER TABLE runs DROP COLUMN summary",
    ),
    "0004_unread": ("ALTER TABLE runs DROP COLUMN price_per_second",),
}

METRICS_HISTORY = History("sttbatch.metrics", "metrics.db", METRICS)
