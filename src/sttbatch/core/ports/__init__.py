"""The ports of stores, named for use cases.

A method that changes several tables is one transaction. Every method raises `StateError` when
the store cannot be read or written.
"""

from sttbatch.core.ports.figures import AlertStore, MetricsStore, UsageStore
from sttbatch.core.ports.jobs import (
    JobDispatcher,
    JobStore,
    Liveness,
    OrderStore,
    WorkerStore,
    WorkLedger,
)
from sttbatch.core.ports.objects import ObjectFacts, Objects, ObjectStore
from sttbatch.core.ports.rates import RateStore
from sttbatch.core.ports.results import (
    ChunkIndex,
    FileIndex,
    OutputStore,
    ResultStore,
    SpeakerNames,
)
from sttbatch.core.ports.search import SearchIndex, TranscriptSource, VectorIndex

__all__ = [
    "AlertStore",
    "ChunkIndex",
    "FileIndex",
    "JobDispatcher",
    "JobStore",
    "Liveness",
    "MetricsStore",
    "ObjectFacts",
    "ObjectStore",
    "Objects",
    "OrderStore",
    "OutputStore",
    "RateStore",
    "ResultStore",
    "SearchIndex",
    "SpeakerNames",
    "TranscriptSource",
    "UsageStore",
    "VectorIndex",
    "WorkLedger",
    "WorkerStore",
]
