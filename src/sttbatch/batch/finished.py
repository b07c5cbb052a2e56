"""Recordings that need nothing, found in few queries: most of a folder that cron comes back to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from sttbatch.batch.report import Outcome, RecordingReport
from sttbatch.caching.content_addresser import ContentAddresser
from sttbatch.caching.file_index import FileIndex
from sttbatch.caching.result_ledger import ResultLedger
from sttbatch.core.options import OutputOptions
from sttbatch.outputs.up_to_date import UpToDate, Wanted, made_from
from sttbatch.processing.discovery import Candidate
from sttbatch.processing.result_merger import MERGE_VERSION


@dataclass(slots=True)
class _Folders:
    """Real paths, asked for once a folder."""

    directory: str | None
    real: dict[str, bytes] = field(default_factory=dict)

    def key(self, folder: str) -> bytes:
        if folder not in self.real:
            self.real[folder] = os.fsencode(os.path.realpath(folder))
        return self.real[folder]

    def of_outputs(self, folder: str, root: str) -> str:
        """Where the outputs of a recording in `folder` belong; as `outputs.plans` decides it."""
        if self.directory is None:
            return folder
        inside = os.path.relpath(folder or ".", root)
        if inside.split(os.sep, 1)[0] == os.pardir:
            return self.directory
        return os.path.normpath(os.path.join(self.directory, inside))


class FinishedBefore:
    """Tells recordings whose content, request and outputs are as a former run left them."""

    def __init__(
        self,
        index: FileIndex,
        results: ResultLedger,
        outputs: UpToDate,
        addresser: ContentAddresser,
        options: OutputOptions,
        stream: int,
    ) -> None:
        self._index = index
        self._results = results
        self._outputs = outputs
        self._addresser = addresser
        self._options = options
        self._stream = stream

    async def split(
        self, candidates: Sequence[Candidate]
    ) -> tuple[list[RecordingReport], list[Candidate]]:
        """(reports of those that need nothing, the others)."""
        cwd = os.getcwd()
        names = [os.fsencode(os.path.join(cwd, each.shown)) for each in candidates]
        await self._index.load_names(names)
        folders = _Folders(str(self._options.directory) if self._options.directory else None)
        keys = [
            self._key(self._index.unchanged(name, each.status) if each.expected else None)
            for name, each in zip(names, candidates, strict=True)
        ]
        # What was invalidated is asked for again, outputs or not.
        present = await self._results.have_transcripts([key for key in keys if key is not None])
        wanted = [
            self._wanted(each, key, folders) if key in present else None
            for each, key in zip(candidates, keys, strict=True)
        ]
        standing = await self._outputs.standing(
            [each for each in wanted if each is not None], self._options.formats
        )
        reports, others = [], []
        for candidate, each in zip(candidates, wanted, strict=True):
            found = standing.get(each.source) if each is not None else None
            if found is None:
                others.append(candidate)
                continue
            folder = folders.of_outputs(os.path.dirname(candidate.shown), candidate.root)
            paths = tuple(os.path.join(folder, name) for name in found.names)
            reports.append(
                RecordingReport(candidate.shown, Outcome.DONE, found.audio_s, True, outputs=paths)
            )
        return reports, others

    def _key(self, sha256: str | None) -> str | None:
        if sha256 is None:
            return None
        return self._addresser.transcript_key(sha256, self._stream, MERGE_VERSION)

    def _wanted(self, candidate: Candidate, key: str | None, folders: _Folders) -> Wanted:
        assert key is not None
        folder, name = os.path.split(candidate.shown)
        return Wanted(
            source=folders.key(folder) + b"/" + os.fsencode(name),
            folder=folders.key(folders.of_outputs(folder, candidate.root)),
            made_from=made_from(key, candidate.shown, self._options),
        )
