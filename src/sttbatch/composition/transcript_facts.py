"""What stored transcripts were made with, as far as jobs say so."""

from __future__ import annotations

from collections.abc import Sequence

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.stores import LedgerStores
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSCRIPTION, Job
from sttbatch.core.models import MERGE_VERSION
from sttbatch.kinds.transcription.spec import TranscriptionSpec

Facts = tuple[tuple[str, str], ...]
"""Names and values of what decides on a transcript, the model first."""


async def known_facts(stores: LedgerStores, contents: Sequence[str]) -> dict[str, Facts]:
    """The facts of the transcripts of these contents, by key."""
    config = run_config_of(stores.settings)
    facts = {}
    for job in await stores.jobs.of_contents(contents):
        spec = _spec_of(job)
        if spec is None:
            continue
        own = spec.run_config(config)
        addresser = ContentAddresser(spec.request, spec.chunking.channels)
        key = addresser.transcript_key(
            job.file_sha256, job.stream, MERGE_VERSION, own.run.audit_mode
        )
        request = spec.request
        values = {
            "model": request.model,
            "engine": request.engine,
            "endpoint": request.origin or None,
            "language": request.language,
            "prompt": request.prompt,
            "temperature": request.temperature,
            "channels": str(spec.chunking.channels),
            "audit": own.run.audit_mode,
            "stream": job.stream or None,
        }
        facts[key] = tuple((name, str(each)) for name, each in values.items() if each is not None)
    return facts


def _spec_of(job: Job) -> TranscriptionSpec | None:
    if job.spec.kind != TRANSCRIPTION:
        return None
    try:
        return TranscriptionSpec.from_job_spec(job.spec)
    except UsageError:
        return None


def labels_of(settings: Sequence[Facts]) -> list[str]:
    """The model of each, and what else it does not share with the others of that model."""
    labels = []
    for facts in settings:
        others = [dict(each) for each in settings if each != facts and each[0] == facts[0]]
        own = dict(facts)
        names = [*own, *(name for each in others for name in each if name not in own)]
        parts = [
            f"{name} {own.get(name, 'not set')}"
            for name in dict.fromkeys(names)
            if any(each.get(name) != own.get(name) for each in others)
        ]
        labels.append(", ".join([own["model"], *parts]))
    return labels
