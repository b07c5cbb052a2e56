"""What runs ask again and again, with values for the placeholders, to check its plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sttbatch.core.metrics import Metric
from sttbatch.database import (
    chunk_index,
    files,
    jobs,
    measurements,
    order_rows,
    orders,
    outputs,
    results,
    search_source,
    speaker_names,
    work_ledger,
    workers,
)
from sttbatch.database.database import expand
from sttbatch.database.store import Values

HotStatement: TypeAlias = tuple[str, str, Values]
"""What it is for, its text, values."""

_SHA = "0" * 64

LEDGER_STATEMENTS: Sequence[HotStatement] = (
    ("look results up", expand(results.GET, 1), ("key", 1.0)),
    ("count reads of a result", results.COUNT_READS, (1, "key")),
    ("find the results of a recording", results.ENTRIES, (_SHA,)),
    ("look up where a recording was cut", chunk_index.RESULTS, (_SHA, 0, _SHA, 1.0)),
    ("look up the files of a folder", expand(files.RECORDS, 1), (b"/",)),
    ("find an active job by content", jobs.BY_CONTENT, (_SHA, 0, _SHA)),
    ("look jobs up", expand(jobs.BY_IDS, 1), ("id",)),
    ("look at the head of the queue", jobs.QUEUED_ABOVE, (1, 64)),
    ("dispatch what is queued", orders.ROUTED, ("route", "QUEUED", 0, 1.0, "host", 16)),
    ("find who processes orders", orders.HOLDERS, ("route",)),
    ("list the open orders of a job", orders.OPEN, ("id",)),
    ("find jobs with open orders", expand(orders.WAITING, 1), ("id",)),
    ("look orders up", expand(orders.BY_IDS, 1), ("id",)),
    ("update the route of a job", order_rows.ROUTE, ("id",)),
    ("list jobs by state", jobs.ACTIVE, ("QUEUED", 100)),
    ("list jobs of a kind", jobs.ACTIVE_OF_KIND, ("QUEUED", "SUMMARY", 100)),
    ("list ended jobs", jobs.ENDED, ("COMPLETED", 100)),
    ("list the attempts at a job", jobs.ATTEMPTS, ("id",)),
    ("find who sends a chunk", work_ledger.HOLDER, ("key",)),
    ("end a claim", work_ledger.END_CLAIM, ("COMPLETED", None, "key", 1, "id")),
    ("find a request that is booked", work_ledger.IS_RECORDED, ("key", 0.0, 1)),
    ("sum what was spent", work_ledger.SPENT, (0.0,)),
    ("sum what is reserved", work_ledger.RESERVED, ()),
    ("look at the latest latencies", work_ledger.LATENCIES, ("cloudru", "model", 100)),
    (
        "look at the latest questions",
        work_ledger.TOKENS_SENT,
        ("engine", "model", "k", "k", 9),
    ),
    ("look outputs up", expand(outputs.DIGESTS, 1), (b"/",)),
    ("look at the outputs of recordings", expand(outputs.STATES, 1), (b"/",)),
    ("find the recipes of outputs", expand(outputs.OF_RECORDINGS, 1), (b"/",)),
    ("look up the names of speakers", speaker_names.OF, (_SHA,)),
    ("find the outputs below a folder", outputs.owners_below(1), (b"/a/", b"/a0")),
    ("list transcripts", search_source.STORED, (1.0,)),
    ("find the transcripts of recordings", expand(search_source.STORED_OF, 1), (_SHA, 1.0)),
    ("find the files of recordings", expand(search_source.PATHS, 1), (_SHA,)),
    ("beat", workers.BEAT, ("id",)),
    ("free the jobs of a dead worker", workers.REQUEUE, ("id",)),
    ("close the chunks of a dead worker", workers.CLOSE_CHUNKS, ("killed", "id")),
)
METRICS_STATEMENTS: Sequence[HotStatement] = (
    ("read a metric's window", measurements.VALUES, (Metric.QUEUE_WAIT_SECONDS, 0.0, 1.0)),
    ("sum a metric's window", measurements.TOTALS, (Metric.RETRIES, 0.0, 1.0)),
    ("find the latest run", measurements.LAST_BEGUN, ()),
    ("expire measurements", measurements.DELETE_MEASUREMENTS, (Metric.LANES, 0.0)),
)
