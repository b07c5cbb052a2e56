"""Recordings that need nothing, found in few queries: most of a folder that cron comes back to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.models import MERGE_VERSION
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.results import SqlResultStore
from sttbatch.kinds.transcription.report import Outcome, RecordingReport
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.written_outputs import ExpectedOutputs, WrittenOutputs, made_from
from sttbatch.processing.discovery import Candidate, Discovery


@dataclass(frozen=True, slots=True)
class _Folder:
    """Where recordings lie, and where their outputs belong, as `outputs.output_names` decides it.

    Attributes:
        source, target: real paths, as the ledger has them; they end in a slash.
        display_path: the target as the run names it.
    """

    source: bytes
    target: bytes
    display_path: str


class _Folders:
    """Asked for once a folder: a tree has far more recordings than those."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = str(directory) if directory is not None else None
        self._known: dict[tuple[str, str], _Folder] = {}

    def of(self, candidate: Candidate) -> tuple[_Folder, str]:
        """Its folder, and its name in there."""
        path, slash, name = candidate.display_path.rpartition("/")
        where = path + slash, candidate.root
        known = self._known.get(where)
        if known is None:
            display_path = self._outputs(*where)
            known = self._known[where] = _Folder(_real(where[0]), _real(display_path), display_path)
        return known, name

    def _outputs(self, folder: str, root: str) -> str:
        if self._directory is None:
            return folder
        inside = os.path.relpath(folder or ".", root)
        if inside.split(os.sep, 1)[0] == os.pardir:
            return os.path.join(self._directory, "")
        return os.path.join(os.path.normpath(os.path.join(self._directory, inside)), "")


class UpToDateFilter:
    """Tells recordings whose content, request and outputs are as a former run left them."""

    def __init__(
        self, database: Database, choices: RunConfig, *, cache_max_age_s: float | None = None
    ) -> None:
        self._index = Fingerprinter(SqlFileIndex(database))
        self._transcripts = SqlResultStore(database, max_age_s=cache_max_age_s)
        self._outputs = WrittenOutputs(SqlOutputStore(database))
        self._addresser = ContentAddresser(choices.request, choices.chunking.channels)
        self._options = choices.outputs
        self._audit_mode = choices.run.audit_mode
        self._stream = choices.chunking.audio_stream

    async def take_from(self, found: Discovery) -> list[RecordingReport]:
        """Report those that need nothing, and leave the rest of `found`."""
        reports, found.candidates = await self._split(found.candidates)
        ours = {path for report in reports for path in report.outputs}
        found.skipped = {
            root: left
            for root, paths in found.skipped.items()
            if (left := [path for path in paths if path not in ours])
        }
        return reports

    async def _split(
        self, candidates: Sequence[Candidate]
    ) -> tuple[list[RecordingReport], list[Candidate]]:
        """(reports of those that need nothing, the others)."""
        here = os.path.join(os.getcwd(), "")
        names = [
            os.fsencode(
                each.display_path if each.display_path[0] == "/" else here + each.display_path
            )
            for each in candidates
        ]
        await self._index.load_names(names)
        keys = [
            self._key(self._index.unchanged(name, each.status) if each.expected else None)
            for name, each in zip(names, candidates, strict=True)
        ]
        # What was invalidated is asked for again, outputs or not.
        present = await self._transcripts.present([key for key in keys if key is not None])
        folders = _Folders(self._options.directory)
        wanted: list[tuple[ExpectedOutputs, _Folder] | None] = []
        for candidate, key in zip(candidates, keys, strict=True):
            if key is None or key not in present:
                wanted.append(None)
                continue
            folder, name = folders.of(candidate)
            origin = made_from(key, candidate.display_path, self._options)
            wanted.append(
                (ExpectedOutputs(folder.source + os.fsencode(name), folder.target, origin), folder)
            )
        standing = await self._outputs.intact(
            [each[0] for each in wanted if each is not None], self._options.formats
        )
        reports, others = [], []
        for candidate, each in zip(candidates, wanted, strict=True):
            found = standing.get(each[0].source) if each is not None else None
            if each is None or found is None:
                others.append(candidate)
                continue
            paths = tuple([each[1].display_path + name for name in found.names])
            reports.append(
                RecordingReport(
                    candidate.display_path, Outcome.DONE, found.audio_s, True, outputs=paths
                )
            )
        return reports, others

    def _key(self, sha256: str | None) -> str | None:
        if sha256 is None:
            return None
        return self._addresser.transcript_key(sha256, self._stream, MERGE_VERSION, self._audit_mode)


def _real(folder: str) -> bytes:
    return os.path.join(os.fsencode(os.path.realpath(folder)), b"")


async def count_foreign_files(found: Discovery, registry: OutputRegistry) -> int:
    """How many of the files passed over are not outputs of ours."""
    count = 0
    for root, paths in found.skipped.items():
        ours = await registry.known_outputs(Path(root))
        count += sum(os.fsencode(path) not in ours for path in paths)
    return count
