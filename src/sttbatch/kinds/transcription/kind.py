from __future__ import annotations

from typing import Protocol

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.core.addresses import origins
from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.core.jobs import JobSpec
from sttbatch.core.locations import FileStatus, Location, location
from sttbatch.core.models import MERGE_VERSION
from sttbatch.core.options import RunOptions
from sttbatch.core.work import Usage
from sttbatch.kinds.registry import JobKind
from sttbatch.kinds.transcription.spec import RunConfig, TranscriptionSpec
from sttbatch.processing.discovery import Discovery


class TranscriptionServices(Protocol):
    """The services that transcription needs from the process that runs it."""

    @property
    def config(self) -> RunConfig:
        """The options of its settings."""

    async def status_of(self, path: Location) -> FileStatus:
        """The status of a file or an object; raises RecordingError if it cannot be read."""

    async def content_of(self, path: Location) -> str:
        """The SHA-256 of a file or an object; raises RecordingError if it cannot be read."""

    async def transcribe(self, discovery: Discovery, config: RunConfig) -> None:
        """Transcribe discovered recordings; events report the results."""


class TranscriptionKind:
    """The `JobKind` of transcriptions."""

    def key(self, spec: JobSpec) -> str:
        asked = TranscriptionSpec.from_job_spec(spec)
        addresser = ContentAddresser(asked.request, asked.chunking.channels)
        mode = RunOptions(audit=asked.gap_repair).audit_mode
        return addresser.transcript_key(
            asked.sha256, asked.chunking.likely_stream, MERGE_VERSION, mode
        )

    def engine(self, spec: JobSpec) -> tuple[str, str]:
        request = TranscriptionSpec.from_job_spec(spec).request
        return request.engine, request.model

    def estimate(self, spec: JobSpec) -> Usage:
        return spec.usage

    async def check(self, spec: JobSpec, services: TranscriptionServices) -> None:
        asked = TranscriptionSpec.from_job_spec(spec)
        path, origin = location(asked.path), asked.request.origin
        await services.status_of(path)
        if origin and origins(origin) != origins(services.config.request.origin):
            raise UsageError(f"the job is for {origin}; set STTBATCH_BASE_URL to it to run the job")
        if not asked.outputs.formats:
            raise UsageError(
                "its transcript was to be printed; run `sttbatch transcribe -o -` over "
                f"{spec.title} again"
            )
        if await services.content_of(path) != asked.sha256:
            raise RecordingError(
                f"{path} has changed since the job was queued; run `sttbatch transcribe` over it, "
                "and cancel the job"
            )

    async def run(self, spec: JobSpec, services: TranscriptionServices) -> None:
        asked = TranscriptionSpec.from_job_spec(spec)
        config = asked.run_config(services.config)
        await services.transcribe(
            Discovery([asked.candidate(await services.status_of(location(asked.path)))]), config
        )


KIND: JobKind[TranscriptionServices] = TranscriptionKind()
