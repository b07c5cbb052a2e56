"""LanguageKind: runs the jobs of a task by their specs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.core.jobs import JobSpec
from sttbatch.core.locations import FileStatus, Location, location
from sttbatch.core.work import Usage
from sttbatch.kinds.language.spec import LanguageSpec
from sttbatch.kinds.language.task import LanguageTask
from sttbatch.kinds.ordering import ENDPOINT_ENGINE
from sttbatch.processing.discovery import Discovery


class LanguageServices(Protocol):
    """The services that tasks over transcripts need from the process that runs them."""

    @property
    def origin(self) -> str:
        """Of the server of language models that its settings name."""

    async def status_of(self, path: Location) -> FileStatus:
        """The status of a file or an object; raises RecordingError if it cannot be read."""

    async def content_of(self, path: Location) -> str:
        """The SHA-256 of a file or an object; raises RecordingError if it cannot be read."""

    async def run_task(
        self, discovery: Discovery, spec: LanguageSpec, task: LanguageTask[Any]
    ) -> None:
        """Run a task over discovered recordings; events report the results."""


class LanguageKind(Struct, frozen=True):
    """The `JobKind` of a task; `make` makes the task of its options in a spec."""

    make: Callable[[Mapping[str, Any]], LanguageTask[Any]]

    def key(self, spec: JobSpec) -> None:
        """Unknown: it depends on a transcript, which may be edited."""

    def engine(self, spec: JobSpec) -> tuple[str, str]:
        return ENDPOINT_ENGINE, LanguageSpec.from_job_spec(spec).model

    def estimate(self, spec: JobSpec) -> Usage:
        return spec.usage

    def task(self, spec: LanguageSpec) -> LanguageTask[Any]:
        """The task of a spec; raises UsageError if its options are damaged."""
        return self.make(spec.options)

    async def check(self, spec: JobSpec, services: LanguageServices) -> None:
        asked = LanguageSpec.from_job_spec(spec)
        self.task(asked)
        path = location(asked.path)
        await services.status_of(path)
        if asked.origin != services.origin:
            raise UsageError(
                f"the job is for {asked.origin}; set STTBATCH_BASE_URL to it to run the job"
            )
        if await services.content_of(path) != asked.sha256:
            raise RecordingError(
                f"{path} has changed since the job was queued; run the command over it again, "
                "and cancel the job"
            )

    async def run(self, spec: JobSpec, services: LanguageServices) -> None:
        asked = LanguageSpec.from_job_spec(spec)
        candidate = asked.candidate(await services.status_of(location(asked.path)))
        await services.run_task(Discovery([candidate]), asked, self.task(asked))
