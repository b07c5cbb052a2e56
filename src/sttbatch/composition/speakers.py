"""Names of speakers: given to a recording, and to all its outputs at once."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sttbatch.caching.cache_invalidator import spellings
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import decode_transcript
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.searching import transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores
from sttbatch.core.errors import RecordingError
from sttbatch.core.file_records import OutputRecipe, RecordedOutput
from sttbatch.core.locations import Location, is_object, location
from sttbatch.core.models import Transcript
from sttbatch.core.options import EMBEDDING_FORMAT, OUTPUT_FORMATS
from sttbatch.outputs.document import Document, embeddable
from sttbatch.outputs.output_names import OutputPlan, Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.recipes import Recipe, recipe_of
from sttbatch.outputs.speaker_names import speakers_of
from sttbatch.outputs.writer import OutputWriter


class SpeakersOf(Struct, frozen=True):
    """A recording's speakers and their names; its content, and its stored transcripts by key."""

    sha256: str
    names: Mapping[str, str]
    speakers: tuple[str, ...]
    transcripts: Mapping[str, Transcript]
    sources: tuple[bytes, ...]


class Renamed(Struct, frozen=True):
    """What became of a recording's outputs.

    Attributes:
        written: those that have the names by now.
        kept: those that were edited, or are not ours.
        later: those that the next run of transcribe, translate or summarize writes.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    later: tuple[str, ...]


class Speakers:
    """Reads and changes the names of recordings; raises StateError if a store cannot be used."""

    def __init__(self, stores: LedgerStores) -> None:
        self._stores = stores
        self._settings: Settings = stores.settings
        self._source = transcript_source(stores.settings, stores.database)

    async def of(self, path: str) -> SpeakersOf:
        """The speakers of a recording, or of the one that an output at `path` belongs to.

        Raises RecordingError if it has no transcript with speakers.
        """
        sha256, sources = await self._content(path)
        stored = await self._source.stored_of([sha256])
        values = await self._stores.results.get_many([each.key for each in stored])
        transcripts: dict[str, Transcript] = {}
        for key, value in values.items():
            transcript = await asyncio.to_thread(decode_transcript, value.data)
            if transcript is not None:
                transcripts[key] = transcript
        speakers = {speaker for each in transcripts.values() for speaker in speakers_of(each)}
        if not speakers:
            reason = "it has one channel, or is not transcribed with --channels split yet"
            raise RecordingError(reason if stored else "it has no transcript; transcribe it first")
        ordered = tuple(sorted(speakers, key=lambda speaker: (len(speaker), speaker)))
        names = await self._stores.speaker_names.of(sha256)
        return SpeakersOf(sha256, names, ordered, transcripts, sources)

    async def rename(self, known: SpeakersOf, names: Mapping[str, str | None]) -> Renamed:
        """Give speakers names, or take them away, and write all outputs that have speakers anew.

        Raises RecordingError for an unknown speaker, before anything is changed.
        """
        if unknown := [speaker for speaker in names if speaker not in known.speakers]:
            raise RecordingError(
                f"there is no speaker {unknown[0]}, only {', '.join(known.speakers)}"
            )
        await self._stores.speaker_names.rename(known.sha256, names)
        return await self._rewrite(known)

    async def _content(self, path: str) -> tuple[str, tuple[bytes, ...]]:
        """The content of a recording or of an output's, and the recordings that have it."""
        spelled = await asyncio.to_thread(_spelled, path)
        outputs = await self._stores.outputs.digests(spelled)
        files = self._stores.files
        if outputs:
            source = outputs[0].source
            records = await files.records([source])
            made = await self._stores.outputs.outputs_of([source])
            recipes = [each.recipe for each in made if each.path == outputs[0].path]
            if recipes and recipes[0] is not None:
                sha256 = recipe_of(recipes[0], ()).sha256
            elif source in records:
                sha256 = records[source].sha256
            else:
                raise RecordingError("its recording is unknown; name the recording")
        elif await asyncio.to_thread(_is_here, path):
            sha256 = (await Fingerprinter(files).fingerprint(Path(os.fsdecode(spelled[0])))).sha256
        else:
            records = await files.records(spelled)
            if not records:
                raise RecordingError(
                    "it does not exist, and nothing of it is known; check the path"
                )
            sha256 = next(iter(records.values())).sha256
        found = await files.paths_of([sha256])
        real = await asyncio.to_thread(lambda: [_spelled(os.fsdecode(each)) for each in found])
        sources = dict.fromkeys(each for spellings in [spelled, *real] for each in spellings)
        if outputs:
            sources[outputs[0].source] = None
        return sha256, tuple(sources)

    async def _is_at(self, path: Path, sha256: str) -> bool:
        """Whether a recording with this content is there."""
        try:
            found = await Fingerprinter(self._stores.files).fingerprint(path)
        except RecordingError:
            return False
        return found.sha256 == sha256

    async def _rewrite(self, known: SpeakersOf) -> Renamed:
        names = await self._stores.speaker_names.of(known.sha256)
        writer = OutputWriter(
            OutputRegistry(self._stores.outputs, objects=objects_of(self._settings))
        )
        written: list[str] = []
        kept: list[str] = []
        later: list[str] = []
        groups: dict[tuple[bytes, bytes, OutputRecipe], list[str]] = defaultdict(list)
        for output in await self._stores.outputs.outputs_of(known.sources):
            if not await asyncio.to_thread(_exists, output):
                continue
            stem = output.path[: -len(output.format) - 1]
            if output.recipe is not None:
                groups[output.source, stem, output.recipe].append(output.format)
            # Of what models wrote only their names are known.
            elif output.format.rpartition(".")[2] in {*OUTPUT_FORMATS, "md"}:
                later.append(os.fsdecode(output.path))
        for (source, stem, stored), formats in groups.items():
            recipe = recipe_of(stored, tuple(formats))
            transcript = known.transcripts.get(stored.transcript_key)
            if recipe.sha256 != known.sha256:
                # The file had another content.
                continue
            path = location(os.fsdecode(source))
            paths = {name: location(os.fsdecode(stem) + f".{name}") for name in formats}
            if transcript is None:
                later += map(str, paths.values())
                continue
            contains = recipe.options.has_audio
            if contains and isinstance(path, Path) and not await self._is_at(path, known.sha256):
                # It would be a page without its recording.
                pages = [name for name in formats if name.rpartition(".")[2] == EMBEDDING_FORMAT]
                later += [str(paths.pop(name)) for name in pages]
                if not paths:
                    continue
                recipe = recipe_of(stored, tuple(paths))
            writer.adopt(
                OutputPlan(Recording(path, path.parent), paths, source, stem), recipe.options
            )
            document = await asyncio.to_thread(_document, recipe, transcript, names, path)
            outputs = await writer.write(document, path, stored.transcript_key)
            written += map(str, outputs.paths)
            kept += map(str, outputs.untouched)
        return Renamed(tuple(written), tuple(kept), tuple(later))


def _document(
    recipe: Recipe, transcript: Transcript, names: Mapping[str, str], path: Location
) -> Document:
    file = None
    if recipe.options.has_audio and isinstance(path, Path):
        file = embeddable(path, path.stat())
    return recipe.document(transcript, names, file)


def _spelled(path: str) -> list[bytes]:
    return [os.fsencode(each) for each in spellings(location(path))]


def _is_here(path: str) -> bool:
    return not is_object(path) and os.path.lexists(path)


def _exists(output: RecordedOutput) -> bool:
    """Whether a file is there to be written anew; objects are taken to be."""
    path = os.fsdecode(output.path)
    return is_object(path) or os.path.lexists(path)


def changes_of(arguments: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """The paths among arguments, and what others say: `1=Anna`, or `1=` for none.

    Raises UsageError for a name that outputs cannot have.
    """
    from sttbatch.outputs.speaker_names import checked_name

    paths: list[str] = []
    names: dict[str, str | None] = {}
    for argument in arguments:
        speaker, equals, name = argument.partition("=")
        if equals and "/" not in speaker and not os.path.lexists(argument):
            names[speaker] = checked_name(name) if name.strip() else None
        else:
            paths.append(argument)
    return paths, names
