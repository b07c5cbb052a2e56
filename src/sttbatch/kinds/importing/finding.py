"""Finds files of JSON, and the recordings that they are about."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from sttbatch.processing.endings import MEDIA_ENDINGS

ENDING = ".json"


class JsonFile(Struct, frozen=True):
    """A file that may be a transcript.

    Attributes:
        path: as the user gave it, or below the folder that they gave.
        root: the folder that was walked; outputs elsewhere mirror the tree below it.
        is_named: it should be a transcript; others may be anything.
    """

    path: Path
    root: Path
    is_named: bool


def json_files(
    paths: Sequence[Path], fail: Callable[[Path, str], None] = lambda path, reason: None
) -> Iterator[JsonFile]:
    """The files of `paths`, and those with the ending below their folders, each once.

    Hidden ones and linked folders are skipped; `fail` is told of folders that cannot be read.
    """
    seen: set[Path] = set()

    def unread(error: OSError) -> None:
        fail(Path(error.filename), f"it cannot be read: {error.strerror}")

    for path in paths:
        for file in _below(path, unread) if path.is_dir() else (JsonFile(path, path.parent, True),):
            real = file.path.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def _below(root: Path, unread: Callable[[OSError], None]) -> Iterator[JsonFile]:
    for folder, folders, names in os.walk(root, onerror=unread):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(ENDING) and not name.startswith("."):
                yield JsonFile(Path(folder, name), root, False)


class RecordingsBeside:
    """Finds recordings by the names of their transcripts; lists each folder once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[str]]] = {}

    def of(self, path: Path) -> list[Path]:
        """The recordings that a transcript may be of: several have the same stem.

        `talk.json` and `talk.wav.json` are of `talk.wav`; if that was made of `talk.mp3` and is
        gone, of that.
        """
        by_stem = self._by_stem(path.parent)
        name = path.name[: -len(ENDING)] if path.name.lower().endswith(ENDING) else path.name
        stem, dot, ending = name.rpartition(".")
        names = by_stem.get(name, [])
        if dot and ending.lower() in MEDIA_ENDINGS:
            beside = by_stem.get(stem, [])
            names = [name] if name in beside else names or beside
        return [path.with_name(each) for each in names]

    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            found: dict[str, list[str]] = defaultdict(list)
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are all that is wanted
                stem, _, ending = name.rpartition(".")
                if ending.lower() in MEDIA_ENDINGS:
                    found[stem].append(name)
            self._folders[folder] = found
        return self._folders[folder]
