"""Importer: stores transcripts that other tools wrote beside those that were made here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import encode_transcript
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.errors import RecordingError
from sttbatch.core.ports import ResultStore, TranscriptSource
from sttbatch.core.search import StoredTranscript
from sttbatch.kinds.importing.finding import JsonFile, RecordingsBeside
from sttbatch.kinds.importing.reading import (
    LARGEST_BYTES,
    NoTranscript,
    ReadTranscript,
    read_transcript,
)
from sttbatch.processing.endings import MEDIA_ENDINGS

ENGINE = "imported"
"""What stands for the engine in outputs."""

UNKNOWN_MODEL = "unknown"

IMPORTED = "transcript:imported:"
"""With what keys of imported transcripts begin: search finds them with all transcripts, and none is
the key of what a request would bring."""

IMPORT_VERSION = 1
"""To be raised when files are read better, so that importing them again replaces them."""


class ImportOutcome(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    TRANSCRIBED = "transcribed"
    OTHER = "other"
    FAILED = "failed"


class Subject(Struct, frozen=True):
    """What a transcript is about.

    Attributes:
        recording: its file; None: that is not there.
        sha256: of the recording's content; None: it is unknown.
        note: what is to be known about that.
    """

    recording: Path | None = None
    sha256: str | None = None
    note: str = ""


class Imported(Struct, frozen=True):
    """A file, and what became of it.

    Attributes:
        reason: why it was not imported; empty: it was.
        read: what is in it; None: no transcript.
        sha256: of the recording's content or, without one, of the file's own.
        key: of the stored transcript; None: there is none.
    """

    file: JsonFile
    outcome: ImportOutcome
    reason: str = ""
    read: ReadTranscript | None = None
    subject: Subject = Subject()
    sha256: str = ""
    key: str | None = None

    @property
    def model(self) -> str:
        return (self.read.model if self.read is not None else "") or UNKNOWN_MODEL


class Importer(Struct, frozen=True):
    """Imports files one after another; raises StateError if the ledger cannot be used.

    A transcript belongs to its recording's content, as all do. Without the recording the file
    stands in for it, so that it can be named wherever a recording is.
    """

    index: Fingerprinter
    source: TranscriptSource
    results: ResultStore
    beside: RecordingsBeside
    is_trial: bool = False

    async def take(self, file: JsonFile, recording: Path | None = None) -> Imported:
        """Import a file; `recording` is what it is about, if its name does not tell."""
        try:
            return await self._take(file, recording)
        except NoTranscript as error:
            outcome = ImportOutcome.FAILED if file.is_named else ImportOutcome.OTHER
            return Imported(file, outcome, str(error))
        except RecordingError as error:
            return Imported(file, ImportOutcome.FAILED, str(error))

    async def _take(self, file: JsonFile, recording: Path | None) -> Imported:
        data = await asyncio.to_thread(_read, file.path)
        own = hashlib.sha256(data).hexdigest()
        read = await asyncio.to_thread(read_transcript, data)
        path = file.path.absolute()
        earlier = await self.source.stored_under(_prefix(path))
        if recording is None and not read.sha256:
            recording = await self._named_before(earlier)
        subject = await self._subject(file.path, read, recording)
        sha256 = subject.sha256 or own
        key = _key(path, own, sha256)
        found = Imported(file, ImportOutcome.UNCHANGED, "", read, subject, sha256, key)
        stored = {each.key for each in await self.source.stored_of([sha256])}
        # What was imported may have been written as json since, which says nothing new.
        is_output = read.engine == ENGINE and key not in stored
        if any(is_output or not each.startswith(IMPORTED) for each in stored):
            reason = "its recording is transcribed already"
            return replace(found, outcome=ImportOutcome.TRANSCRIBED, reason=reason, key=None)
        # What it was before it was edited, or before its recording was there.
        stale = [each.key for each in earlier if each.key != key]
        if key not in stored:
            found = replace(
                found, outcome=ImportOutcome.UPDATED if stale else ImportOutcome.IMPORTED
            )
        if self.is_trial:
            return found
        if (await self.index.fingerprint(path)).sha256 != own:
            raise RecordingError("it changed while it was read; import it again")
        if key not in stored:
            encoded = await asyncio.to_thread(encode_transcript, read.transcript)
            await self.results.put(key, CacheValue(encoded), found.model, sha256)
        if stale:
            await self.results.delete(stale)
        return found

    async def _named_before(self, earlier: Sequence[StoredTranscript]) -> Path | None:
        """The recording that the file was imported with, if that is where it was."""
        contents = [each.file_sha256 for each in earlier]
        paths = await self.source.paths_by_content(contents) if contents else {}
        recordings = await asyncio.to_thread(
            _recordings, [path for each in paths.values() for path in each]
        )
        for each in recordings:
            if (await self._about(each)).sha256 in contents:
                return each
        return None

    async def _subject(self, path: Path, read: ReadTranscript, given: Path | None) -> Subject:
        if given is not None:
            if given.suffix[1:].lower() not in MEDIA_ENDINGS:
                raise RecordingError(f"{given} has not the ending of a recording")
            subject = await self._about(given)
            if read.sha256 not in {"", subject.sha256}:
                raise RecordingError(f"it is a transcript of another recording, not of {given}")
            return subject
        candidates = await asyncio.to_thread(self._candidates, path, read)
        if read.sha256:
            for candidate in candidates:
                if (subject := await self._about(candidate)).sha256 == read.sha256:
                    return subject
            # It may be elsewhere, or an object in a bucket.
            is_known = await self.source.paths_by_content([read.sha256])
            return Subject(sha256=read.sha256 if is_known else None)
        if len(candidates) > 1:
            return Subject(note=_ambiguous(candidates))
        return await self._about(candidates[0]) if candidates else Subject()

    async def _about(self, recording: Path) -> Subject:
        path = Path.cwd() / recording
        try:
            await self.index.load([path])
            return Subject(recording, (await self.index.fingerprint(path)).sha256)
        except RecordingError as error:
            raise RecordingError(f"its recording {recording}: {error}") from error

    def _candidates(self, path: Path, read: ReadTranscript) -> list[Path]:
        candidates = self.beside.of(path)
        if read.sha256:
            candidates += [Path(read.source), path.with_name(Path(read.source).name)]
        return _recordings(candidates)


def _recordings(paths: Sequence[Path | bytes]) -> list[Path]:
    """Those of `paths` that are there and have the ending of a recording."""
    found = dict.fromkeys(Path(os.fsdecode(each)) for each in paths)
    return [each for each in found if each.suffix[1:].lower() in MEDIA_ENDINGS and each.is_file()]


def _key(path: Path, content_sha256: str, recording_sha256: str) -> str:
    """The key of what a file of this content says about a recording."""
    facts = f"{IMPORT_VERSION}\0{content_sha256}\0{recording_sha256}"
    return _prefix(path) + hashlib.sha256(facts.encode()).hexdigest()


def _prefix(path: Path) -> str:
    """With what the keys of all begin that was imported from a file."""
    return f"{IMPORTED}{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}:"


def _ambiguous(candidates: Sequence[Path]) -> str:
    named = " and ".join(each.name for each in candidates[:2])
    more = f" and {len(candidates) - 2} more" if len(candidates) > 2 else ""
    return f"imported without its recording, as {named}{more} have its name; --recording says which"


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RecordingError("it is not a regular file; save its content to one")
            if status.st_size > LARGEST_BYTES:
                raise RecordingError(f"it is larger than {LARGEST_BYTES >> 20} MiB")
            return file.read(LARGEST_BYTES)
    except OSError as error:
        raise RecordingError(f"it cannot be read: {error.strerror}") from error
