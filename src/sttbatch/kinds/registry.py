"""The kinds of jobs, and the protocols to run one by its spec."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, TypeVar

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import SUMMARY, TRANSCRIPTION, TRANSLATION, JobSpec
from sttbatch.core.work import Usage

ServicesT_contra = TypeVar("ServicesT_contra", contravariant=True)
"""The services that a kind of job needs from the process that runs it."""


class JobKind(Protocol[ServicesT_contra]):
    """One kind of job; `spec` is that of the job's row."""

    def key(self, spec: JobSpec) -> str | None:
        """The key of its result; None: its spec does not decide it alone."""

    def engine(self, spec: JobSpec) -> tuple[str, str]:
        """Its engine and model."""

    def estimate(self, spec: JobSpec) -> Usage:
        """What it consumes, as far as its spec says."""

    async def check(self, spec: JobSpec, services: ServicesT_contra) -> None:
        """Check whether it can be run.

        Raises:
            UsageError: its spec is incomplete, or of a newer version.
            RecordingError: its file is missing or has changed.
        """

    async def run(self, spec: JobSpec, services: ServicesT_contra) -> None:
        """Run it, after `check`."""


_KINDS = {
    TRANSCRIPTION: "sttbatch.kinds.transcription.kind",
    SUMMARY: "sttbatch.kinds.summarization.kind",
    TRANSLATION: "sttbatch.kinds.translation.kind",
}


def job_kind(name: str) -> JobKind[Any]:
    """The kind with this name; raises UsageError if this version does not know it."""
    if name not in _KINDS:
        raise UsageError(f"there is no kind of job {name!r}; a newer sttbatch may have queued it")
    kind: JobKind[Any] = import_module(_KINDS[name]).KIND
    return kind
