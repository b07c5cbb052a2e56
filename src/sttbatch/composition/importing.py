"""Imports transcripts into the ledger, and writes their outputs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import decode_transcript
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.searching import transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, opened_stores
from sttbatch.core.errors import RecordingError
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.importing.finding import JsonFile, RecordingsBeside, json_files
from sttbatch.kinds.importing.importer import ENGINE, Imported, Importer, ImportOutcome
from sttbatch.outputs.document import Document
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter


class ImportedOutputs(Struct, frozen=True):
    """The outputs of an imported transcript; `kept` are files that were not replaced."""

    imported: Imported
    paths: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


async def import_transcripts(
    settings: Settings,
    paths: Sequence[Path],
    outputs: OutputOptions,
    recording: Path | None = None,
    *,
    is_trial: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AsyncIterator[ImportedOutputs]:
    """Import the files of `paths`, and yield what became of each.

    `recording` is what the only file is about. With `is_trial` nothing is stored or written.
    """
    unread: list[Imported] = []

    def fail(path: Path, reason: str) -> None:
        unread.append(Imported(JsonFile(path, path, True), ImportOutcome.FAILED, reason))

    files = list(json_files(paths, fail))
    for failed in unread:
        yield ImportedOutputs(failed)
    with opened_stores(settings) as stores:
        index = Fingerprinter(stores.files)
        await index.load([each.path.absolute() for each in files])
        source = transcript_source(settings, stores.database)
        importer = Importer(index, source, stores.results, RecordingsBeside(), is_trial)
        imported: list[Imported] = []
        for number, file in enumerate(files):
            progress(number, len(files))
            # What was read is needed no longer: thousands are imported together.
            imported.append(_without_segments(await importer.take(file, recording)))
        writes = bool(outputs.formats) and not is_trial
        writer = await _planned(stores, imported, outputs) if writes else None
        for each in imported:
            if writer is None or each.key is None:
                yield ImportedOutputs(each)
            else:
                yield await _written(writer, stores, each, outputs)


def _without_segments(imported: Imported) -> Imported:
    if imported.read is None:
        return imported
    transcript = replace(imported.read.transcript, segments=(), chunks=(), gaps=(), dropped=())
    return replace(imported, read=replace(imported.read, transcript=transcript))


async def _planned(
    stores: LedgerStores, imported: Sequence[Imported], outputs: OutputOptions
) -> OutputWriter:
    objects = objects_of(stores.settings)
    writer = OutputWriter(OutputRegistry(stores.outputs, objects=objects))
    recordings = [_recording_of(each) for each in imported if each.key is not None]
    await writer.plan(recordings, outputs)
    return writer


def _recording_of(imported: Imported) -> Recording:
    """The recording, or the transcript that stands in for it, below what was named."""
    path, root = imported.subject.recording or imported.file.path, imported.file.root
    inside = os.path.relpath(path, root)
    return Recording(path, path.parent if inside.startswith(os.pardir) else root)


async def _written(
    writer: OutputWriter, stores: LedgerStores, imported: Imported, outputs: OutputOptions
) -> ImportedOutputs:
    assert imported.key is not None
    path = _recording_of(imported).path
    values = await stores.results.get_many([imported.key])
    transcript = decode_transcript(values[imported.key].data) if values else None
    if transcript is None:
        gone = "its transcript was removed meanwhile; run again"
        return ImportedOutputs(replace(imported, outcome=ImportOutcome.FAILED, reason=gone))
    document = Document(str(path), imported.sha256, imported.model, ENGINE, transcript, outputs)
    try:
        written = await writer.write(document, path, imported.key)
    except RecordingError as error:
        return ImportedOutputs(replace(imported, outcome=ImportOutcome.FAILED, reason=str(error)))
    return ImportedOutputs(
        imported, tuple(map(str, written.paths)), tuple(map(str, written.untouched))
    )
