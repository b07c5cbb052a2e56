"""The Python API of sttbatch; see `Client`."""

from __future__ import annotations

from sttbatch.core.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sttbatch.composition.client import Client, RecordingResult, Result, Transcription
    from sttbatch.core.errors import SttbatchError
    from sttbatch.core.jobs import JobStatus
    from sttbatch.kinds.report import BatchForecast, Outcome

_MODULES = {
    "BatchForecast": "sttbatch.kinds.report",
    "Client": "sttbatch.composition.client",
    "JobStatus": "sttbatch.core.jobs",
    "Outcome": "sttbatch.kinds.report",
    "RecordingResult": "sttbatch.composition.client",
    "Result": "sttbatch.composition.client",
    "SttbatchError": "sttbatch.core.errors",
    "Transcription": "sttbatch.composition.client",
}
__all__ = [
    "BatchForecast",
    "Client",
    "JobStatus",
    "Outcome",
    "RecordingResult",
    "Result",
    "SttbatchError",
    "Transcription",
    "__version__",
]


def __getattr__(name: str) -> object:
    # Imported on demand: the command line needs the version alone, and must start fast.
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'sttbatch' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
