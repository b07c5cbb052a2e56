"""TranscriptFinder: the stored transcripts of recordings, whatever settings they were made with."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core.errors import RecordingError, Stopped
from sttbatch.core.locations import ObjectUrl, is_object
from sttbatch.core.ports import TranscriptSource
from sttbatch.core.ports.objects import ObjectFacts
from sttbatch.kinds.importing.finding import ENDING
from sttbatch.kinds.importing.importer import IMPORTED
from sttbatch.kinds.indexing.edits import EditedOutput
from sttbatch.kinds.indexing.shown_text import ShownText
from sttbatch.kinds.indexing.words import Language
from sttbatch.kinds.language.spoken_text import RecordingText, SpokenText
from sttbatch.kinds.transcription.fetched_objects import FetchedObjects
from sttbatch.processing.discovery import Candidate, Discovery


class Finding(Struct, frozen=True):
    """What was found for some recordings.

    Attributes:
        texts: those that have a transcript.
        missing: those that have none.
        failures: display path and reason of those that cannot be read.
        left: those that were not looked at, as the run ended.
    """

    texts: list[RecordingText] = field(default_factory=list)
    missing: list[RecordingText] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    left: list[Candidate] = field(default_factory=list)


class TranscriptFinder(Struct, frozen=True):
    """Finds transcripts by the content of recordings, and reads them.

    Attributes:
        index: content hashes of files.
        edits: by content hash, the outputs that were edited.
        preferred: the key of the transcript that this run's settings would make of a content;
            without it the newest one is taken.
        fetched: needed for objects.
        rules: by which words are replaced; without them those of the transcript's outputs.
    """

    index: Fingerprinter
    source: TranscriptSource
    results: ResultCache
    edits: Callable[[], Awaitable[Mapping[str, EditedOutput]]]
    preferred: Callable[[str], str]
    stopping: Callable[[], bool]
    fetched: FetchedObjects | None = None
    rules: str = ""

    async def find(self, discovery: Discovery) -> Finding:
        """Find the transcripts of all recordings that were discovered; raises StateError.

        Imported ones stand in for recordings that are not there, and are skipped no longer.
        """
        candidates = [*discovery.candidates, *await self._stand_ins(discovery)]
        await self.index.load([each.path.absolute() for each in candidates])
        found = Finding()
        contents: list[tuple[Candidate, str]] = []
        for candidate in candidates:
            try:
                contents.append((candidate, await self._content(candidate)))
            except Stopped:
                found.left.extend(candidates[len(contents) + len(found.failures) :])
                break
            except RecordingError as error:
                found.failures.append((candidate.display_path, str(error)))
        keys = await self._keys([sha256 for _, sha256 in contents])
        edits = await self.edits() if keys else {}
        rules = await self.source.rules() if keys and not self.rules else {}
        names = await self.source.speaker_names() if keys else {}
        for candidate, sha256 in contents:
            if sha256 in keys:
                key = keys[sha256]
                shown = ShownText(
                    edits.get(sha256), self.rules or rules.get(key, ""), names.get(sha256, {})
                )
                found.texts.append(RecordingText(candidate, sha256, key, shown))
            else:
                found.missing.append(RecordingText(candidate, sha256))
        return found

    async def read(self, stored: RecordingText) -> SpokenText:
        """Read a text; raises RecordingError if its transcript is gone."""
        key = stored.transcript_key
        hit = await self.results.transcript(key) if key is not None else None
        if hit is None:
            raise RecordingError("its transcript was removed meanwhile; run again")
        transcript, _ = hit
        language = Language(transcript.language)
        shown = await asyncio.to_thread(stored.shown.of, transcript, language)
        return SpokenText(stored.sha256, shown)

    async def _stand_ins(self, discovery: Discovery) -> list[Candidate]:
        """Imported transcripts without their recordings, among what the walk skipped."""
        walked = [(root, path) for root, found in discovery.skipped.items() for path in found]
        files = await asyncio.to_thread(_json_files, walked)
        await self.index.load(files)
        contents: dict[str, str] = {}
        for name, candidate in files.items():
            if self.index.knows(name):
                with contextlib.suppress(RecordingError):
                    contents[candidate.display_path] = await self._content(candidate)
        stored = await self.source.stored_of(list(set(contents.values())))
        imported = {each.file_sha256 for each in stored if each.key.startswith(IMPORTED)}
        taken = {path for path, sha256 in contents.items() if sha256 in imported}
        if taken:
            discovery.skipped = {
                root: [path for path in found if path not in taken]
                for root, found in discovery.skipped.items()
            }
        return [each for each in files.values() if each.display_path in taken]

    async def _content(self, candidate: Candidate) -> str:
        path = candidate.path
        if not isinstance(path, ObjectUrl):
            return (await self.index.fingerprint(path.absolute(), self.stopping)).sha256
        assert self.fetched is not None
        facts = candidate.status
        assert isinstance(facts, ObjectFacts)
        return (await self.fetched.fingerprint(self.index, facts, self.stopping)).sha256

    async def _keys(self, sha256s: Sequence[str]) -> dict[str, str]:
        """The key of the transcript of each content that has one."""
        wanted = list(dict.fromkeys(sha256s))
        stored = sorted(await self.source.stored_of(wanted), key=lambda each: each.created_at)
        newest = {each.file_sha256: each.key for each in stored}
        known = {each.key for each in stored}
        return {
            sha256: key if (key := self.preferred(sha256)) in known else newest[sha256]
            for sha256 in newest
        }


def _json_files(walked: Sequence[tuple[str, str]]) -> dict[bytes, Candidate]:
    """Those of (root, path) that may be transcripts, by their absolute paths."""
    found: dict[bytes, Candidate] = {}
    for root, path in walked:
        if path.lower().endswith(ENDING) and not is_object(path):
            with contextlib.suppress(OSError):
                candidate = Candidate(path, root, True, Path(path).stat())
                found[os.fsencode(Path(path).absolute())] = candidate
    return found
