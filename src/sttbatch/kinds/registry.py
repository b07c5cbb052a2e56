"""The kinds of jobs: what runs a job whose spec is all that is known of it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSCRIPTION, JobSpec
from sttbatch.core.work import Usage
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery


class JobServices(Protocol):
    """What a kind of job needs of the process that runs it."""

    @property
    def config(self) -> RunConfig:
        """What its settings say."""

    async def content_of(self, path: Path) -> str:
        """The SHA-256 of a file.

        Raises:
            RecordingError: it cannot be read.
        """

    async def transcribe(self, discovery: Discovery, config: RunConfig) -> None:
        """Transcribe what was discovered; events say what becomes of it."""


class JobKind(Protocol):
    """One kind of job; `spec` is that of the job's row."""

    def key(self, spec: JobSpec) -> str:
        """The key that its result is stored under."""

    def engine(self, spec: JobSpec) -> tuple[str, str]:
        """The engine that it asks, and the model."""

    def estimate(self, spec: JobSpec) -> Usage:
        """What it consumes, as far as its spec tells."""

    async def check(self, spec: JobSpec, services: JobServices) -> None:
        """Find out whether it can be run.

        Raises:
            UsageError: its spec says too little, or more than this version knows.
            RecordingError: what it is about is not there, or not as it was.
        """

    async def run(self, spec: JobSpec, services: JobServices) -> None:
        """Do it, after `check`."""


_KINDS = {TRANSCRIPTION: "sttbatch.kinds.transcription.kind"}


def job_kind(name: str) -> JobKind:
    """Raises UsageError for a kind that this version does not know."""
    if name not in _KINDS:
        raise UsageError(f"there is no kind of job {name!r}; a newer sttbatch may have queued it")
    kind: JobKind = import_module(_KINDS[name]).KIND
    return kind
