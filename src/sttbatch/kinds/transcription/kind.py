"""Transcription as a kind of job."""

from __future__ import annotations

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.core.jobs import JobSpec
from sttbatch.core.models import MERGE_VERSION
from sttbatch.core.work import Usage
from sttbatch.kinds.registry import JobKind, JobServices
from sttbatch.kinds.transcription.spec import TranscriptionSpec
from sttbatch.processing.discovery import Discovery


class TranscriptionKind:
    """`JobKind` of recordings that become transcripts."""

    def key(self, spec: JobSpec, file_sha256: str) -> str:
        asked = TranscriptionSpec.from_job_spec(spec)
        addresser = ContentAddresser(asked.request, asked.chunking.channels)
        mode = "on" if asked.gap_repair else "off"
        return addresser.transcript_key(
            file_sha256, asked.chunking.audio_stream, MERGE_VERSION, mode
        )

    def estimate(self, spec: JobSpec) -> Usage:
        return spec.usage

    async def run(self, spec: JobSpec, services: JobServices) -> None:
        asked = TranscriptionSpec.from_job_spec(spec)
        config = asked.run_config(services.concurrency)
        await services.transcribe(Discovery([asked.candidate()]), config)


KIND: JobKind = TranscriptionKind()
