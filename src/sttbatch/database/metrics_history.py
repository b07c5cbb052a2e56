"""The tables of metrics.db: what was measured, and never changed since.

No recording is named here: one that is forgotten (`cache invalidate --file`) must leave no trace.
"""

from __future__ import annotations

from sttbatch.database.history import History, Steps

_TABLES = ("runs", "run_ends", "measurements")

METRICS: Steps = (
    (
        "0001_measurements",
        (
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
            # A row of its own, so that nothing that was recorded ever changes. A run without one
            # still goes on, or was killed.
            """CREATE TABLE run_ends (
                run INTEGER PRIMARY KEY,
                ended_at REAL NOT NULL,
                done INTEGER NOT NULL,
                cached INTEGER NOT NULL,
                failed INTEGER NOT NULL,
                remaining INTEGER NOT NULL,
                error TEXT
            ) STRICT""",
            # Laid out in the order in which windows are read. What belongs to one request has the
            # same `run` and `number` under every metric; `subject` is the how-manieth recording of
            # the run, and which of its chunks.
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
    ),
)

METRICS_HISTORY = History("sttbatch.metrics", "metrics.db", METRICS)
