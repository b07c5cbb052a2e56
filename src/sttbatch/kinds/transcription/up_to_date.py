"""The incremental check: finds up-to-date recordings of a whole folder with few queries."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.events import Emit, FileProcessingCompleted, FilesSkipped, JobCompleted, Warned
from sttbatch.core.locations import is_object, location
from sttbatch.core.models import MERGE_VERSION
from sttbatch.core.ports import ResultStore, SpeakerNames
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.outputs.document import file_date
from sttbatch.outputs.made_from import made_from
from sttbatch.outputs.output_names import OutputLocator
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.processing.discovery import Candidate, Discovery

_MOST_NAMED = 20


async def take_up_to_date(
    discovery: Discovery,
    fingerprinter: Fingerprinter,
    results: ResultStore,
    registry: OutputRegistry,
    speaker_names: SpeakerNames,
    config: RunConfig,
    emit: Emit,
) -> None:
    """Report recordings whose content, request and outputs are unchanged since an earlier run.

    The others stay in `discovery`.
    """
    candidates = discovery.candidates
    contents, keys = await _transcript_keys(candidates, fingerprinter, config)
    # Invalidated transcripts are sent again, even if their outputs exist.
    present = await results.present([key for key in keys if key is not None])
    names = await speaker_names.all()
    locator = OutputLocator(config.outputs.directory)
    wanted = {
        candidate.display_path: (
            locator.locate(candidate.display_path, candidate.root),
            made_from(
                key,
                candidate.display_path,
                config.outputs,
                names.get(content or "", {}),
                file_date(candidate.status, config.outputs.formats),
            ),
        )
        for candidate, content, key in zip(candidates, contents, keys, strict=True)
        if key in present and key is not None
    }
    intact = await registry.intact(wanted.values(), config.outputs.formats)
    discovery.candidates = []
    ours: set[str] = set()
    for candidate in candidates:
        path = candidate.display_path
        place = wanted[path][0] if path in wanted else None
        outputs = intact.get(place.source) if place is not None else None
        if place is None or outputs is None:
            discovery.candidates.append(candidate)
            continue
        paths = tuple([place.folder + name for name in outputs.names])
        ours.update(paths)
        emit(FileProcessingCompleted(path, paths))
        emit(JobCompleted(path, outputs.audio_s, True))
    discovery.skipped = {
        root: foreign
        for root, paths in discovery.skipped.items()
        if (foreign := [path for path in paths if path not in ours])
    }


async def _transcript_keys(
    candidates: Sequence[Candidate], fingerprinter: Fingerprinter, config: RunConfig
) -> tuple[list[str | None], list[str | None]]:
    """Their contents, and the keys of their transcripts; None: the content is unknown."""
    addresser = ContentAddresser(config.request, config.chunking.channels)
    stream, audit_mode = config.chunking.likely_stream, config.run.audit_mode
    here = os.path.join(os.getcwd(), "")
    names = [
        os.fsencode(
            each.display_path
            if each.display_path[0] == "/" or is_object(each.display_path)
            else here + each.display_path
        )
        for each in candidates
    ]
    await fingerprinter.load(names)
    contents = [
        fingerprinter.unchanged(name, each.status) if each.expected else None
        for name, each in zip(names, candidates, strict=True)
    ]
    return contents, [
        addresser.transcript_key(sha256, stream, MERGE_VERSION, audit_mode)
        if sha256 is not None
        else None
        for sha256 in contents
    ]


async def report_skipped(
    discovery: Discovery, registry: OutputRegistry, emit: Emit, skipped: int = 0
) -> None:
    """Report how many files were skipped, except our outputs."""
    for root, paths in discovery.skipped.items():
        ours = await registry.known_outputs(location(root))
        skipped += sum(os.fsencode(path) not in ours for path in paths)
    if unreadable := discovery.unreadable:
        named = ", ".join(unreadable[:_MOST_NAMED])
        more = f" and {len(unreadable) - _MOST_NAMED} more" if len(unreadable) > _MOST_NAMED else ""
        message = f"skipped {len(unreadable)}, whose format cannot be read here: {named}{more}"
        emit(Warned("", message))
    if skipped or discovery.recently_modified:
        emit(FilesSkipped("", skipped, discovery.recently_modified))
