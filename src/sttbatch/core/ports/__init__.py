"""What the rooms above the stores need of them, each port named for a use case.

A method that changes several tables is one transaction. Every method raises `StateError` where
the store cannot be read or written.
"""

from sttbatch.core.ports.figures import AlertStore, MetricsStore, UsageStore
from sttbatch.core.ports.jobs import JobStore, Liveness, WorkerStore, WorkLedger
from sttbatch.core.ports.rates import RateStore
from sttbatch.core.ports.results import ChunkIndex, FileIndex, OutputStore, ResultStore

__all__ = [
    "AlertStore",
    "ChunkIndex",
    "FileIndex",
    "JobStore",
    "Liveness",
    "MetricsStore",
    "OutputStore",
    "RateStore",
    "ResultStore",
    "UsageStore",
    "WorkLedger",
    "WorkerStore",
]
