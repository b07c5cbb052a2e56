"""Discovery of candidate recordings by their names and types; no file is opened."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from sttbatch.core.errors import ObjectRefused, ObjectsUnreachable, UsageError
from sttbatch.core.locations import FileStatus, Location, ObjectUrl, is_object, location
from sttbatch.core.options import OutputOptions
from sttbatch.processing.endings import (
    MEDIA_ENDINGS,
    OTHER_ENDINGS,
    UNFINISHED_ENDINGS,
    UNREADABLE_ENDINGS,
)

if TYPE_CHECKING:
    from sttbatch.core.ports.objects import ObjectFacts, Objects, ObjectStore


_SKIPPED_ENDINGS = OTHER_ENDINGS | UNFINISHED_ENDINGS


class Candidate(Struct, frozen=True):
    """A file, or an object in a bucket, that may be a recording.

    Attributes:
        display_path: the path as the user gave it, or below the folder that they gave.
        root: the folder that was walked; outputs elsewhere mirror the tree below it.
        expected: by its ending, or because it was named, it should be a recording; other files
            are used only if they contain audio.
        outputs: those of this file alone; None: those of the run.
    """

    display_path: str
    root: str
    expected: bool
    status: FileStatus
    outputs: OutputOptions | None = None

    @property
    def path(self) -> Location:
        return location(self.display_path)


class Discovery(Struct):
    """The result of a walk.

    Attributes:
        failures: (display path, reason) of files and folders that cannot be read.
        skipped: by root, files that are no recordings, such as our own outputs.
        recently_modified: number of files that `--min-age` skips.
        unreadable: display paths of found recordings in formats that cannot be read.
    """

    candidates: list[Candidate] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    recently_modified: int = 0
    unreadable: list[str] = field(default_factory=list)


class _Walk:
    """A walk over files and folders; paths are strings, as trees of 100,000 files are common."""

    def __init__(self, min_age_s: float, *, may_be_empty: bool) -> None:
        self.result = Discovery()
        self._may_be_empty = may_be_empty
        self._seen_files: set[str] = set()
        self._seen_folders: set[tuple[int, int]] = set()
        self._real: dict[str, str] = {}
        self._newest = time.time() - min_age_s if min_age_s > 0 else None

    def add(self, path: str) -> None:
        """Add a path that the user named."""
        try:
            status = os.stat(path)
        except OSError as error:
            self.result.failures.append((path, _reason(error)))
            return
        if stat.S_ISDIR(status.st_mode):
            self._tree(path, status)
        else:
            self._file(path, os.path.dirname(path) or ".", status, expected=True)

    def _tree(self, root: str, status: os.stat_result) -> None:
        """Walk a folder and all below it, without recursion, as trees may be deep."""
        chain = [_identity(status)]
        levels = [self._folder(root, root, chain)]
        while levels:
            below = next(levels[-1], None)
            if below is None:
                levels.pop()
                chain.pop()
            else:
                path, identity = below
                chain.append(identity)
                levels.append(self._folder(path, root, chain))

    def _folder(
        self, folder: str, root: str, chain: list[tuple[int, int]]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Add a folder's files, and yield the folders in it."""
        for entry in self._entries(folder, chain[-1]):
            path, ending = entry.path, _ending(entry.name)
            try:
                if (ending in _SKIPPED_ENDINGS or path[-1] == "~") and entry.is_file():
                    self._skip(path, root)
                    continue
                if ending in UNREADABLE_ENDINGS and entry.is_file():
                    self.result.unreadable.append(_plain(path))
                    continue
                status = entry.stat()
            except OSError as error:
                is_gone = isinstance(error, FileNotFoundError)
                if is_gone and ending not in MEDIA_ENDINGS:
                    # A dangling link, or a file that was deleted meanwhile.
                    self._skip(path, root)
                else:
                    self.result.failures.append((path, _reason(error)))
                continue
            if stat.S_ISREG(status.st_mode):
                self._file(path, root, status, expected=ending in MEDIA_ENDINGS)
                continue
            if not stat.S_ISDIR(status.st_mode):
                self._skip(path, root)
                continue
            if _is_unfinished(entry.name):
                self._skip(path, root)
                continue
            identity = _identity(status)
            if identity in chain:
                self.result.failures.append((path, "it leads back to a folder that contains it"))
            else:
                yield path, identity

    def _entries(self, folder: str, identity: tuple[int, int]) -> list[os.DirEntry[str]]:
        """A folder's entries by name; none if it was already listed."""
        if identity in self._seen_folders:
            return []
        self._seen_folders.add(identity)
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            self.result.failures.append((folder, _reason(error)))
            return []
        visible.sort(key=lambda entry: entry.name)
        return visible

    def _file(self, path: str, root: str, status: os.stat_result, *, expected: bool) -> None:
        # A file that is named twice, or is reached by two paths, is one recording.
        folder, slash, name = path.rpartition("/")
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder + slash)
        identity = f"{real}/{name}"
        if identity in self._seen_files:
            return
        self._seen_files.add(identity)
        if self._newest is not None and status.st_mtime > self._newest:
            self.result.recently_modified += 1
            return
        self.result.candidates.append(Candidate(_plain(path), root, expected, status))

    def add_objects(self, named: ObjectUrl, objects: Objects, *, is_listed: bool) -> None:
        """Add an object, or all whose keys are below `named`.

        Raises UsageError without any, or if they are refused; what `is_listed` only fails then.
        """
        try:
            self._add_objects(named, objects())
        except (ObjectRefused, ObjectsUnreachable) as error:
            if isinstance(error, ObjectRefused) and not is_listed:
                raise UsageError(str(error)) from error
            reason = str(error).removeprefix(f"{named}/: ").removeprefix(f"{named}: ")
            self.result.failures.append((str(named), reason))

    def _add_objects(self, named: ObjectUrl, store: ObjectStore) -> None:
        if named.name and (facts := store.facts(named)):
            self._object(facts, str(named.parent), named=True)
            return
        root = str(named) if str(named).endswith("/") else f"{named}/"
        count = 0
        for count, facts in enumerate(store.list(ObjectUrl(root)), 1):  # noqa: B007
            self._object(facts, root, named=False)
        if not count and not self._may_be_empty:
            raise ObjectRefused(
                f"{named}: there is no such object, and none below it; check the path"
            )

    def _object(self, facts: ObjectFacts, root: str, *, named: bool) -> None:
        path, name = str(facts.url), facts.url.name
        if path in self._seen_files or (not named and (not name or _is_hidden(path, root))):
            return
        self._seen_files.add(path)
        if not named and _ending(name) in UNREADABLE_ENDINGS:
            self.result.unreadable.append(path)
        elif not named and _ending(name) not in MEDIA_ENDINGS:
            # To look for audio in it, all of it would have to be fetched.
            self._skip(path, root)
        elif self._newest is not None and facts.modified_ns > self._newest * 1e9:
            self.result.recently_modified += 1
        else:
            self.result.candidates.append(Candidate(path, root, True, facts))

    def _skip(self, path: str, root: str) -> None:
        self.result.skipped.setdefault(root, []).append(_plain(path))


def discover(
    paths: Sequence[Location],
    min_age_s: float = 0.0,
    objects: Objects | None = None,
    listed: Sequence[Location] = (),
    *,
    may_be_empty: bool = False,
) -> Discovery:
    """Walk `paths` and `listed` in order, folders recursively and sorted by name.

    Hidden files are skipped, symbolic links followed, and a folder that contains itself is
    reported as a failure. Raises UsageError if `objects` has none where it should, or refuses to
    list them; what is `listed` only fails then. `may_be_empty`: below a prefix there may be none.
    """
    walk = _Walk(min_age_s, may_be_empty=may_be_empty)
    for number, path in enumerate((*paths, *listed)):
        if not isinstance(path, ObjectUrl):
            walk.add(str(path))
        elif objects is not None:
            walk.add_objects(path, objects, is_listed=number >= len(paths))
        else:
            raise UsageError(f"{path}: objects cannot be named here; name a file or folder")
    return walk.result


def may_be_recording(name: str) -> bool:
    """Whether a file or a folder of this name is looked at in a walk."""
    return not (name.startswith(".") or name.endswith("~") or _ending(name) in _SKIPPED_ENDINGS)


def expand(arguments: Iterable[str]) -> list[Location]:
    """The paths that exist, matches of patterns, and addresses of objects.

    Raises UsageError for a path or a pattern without any.
    """
    import glob

    paths: list[Location] = []
    for argument in arguments:
        if is_object(argument):
            paths.append(ObjectUrl(argument))
            continue
        if os.path.lexists(argument):
            paths.append(Path(argument))
            continue
        matches = glob.glob(argument, recursive=True) if glob.has_magic(argument) else []
        if not matches:
            raise UsageError(f"{argument}: no such file or folder")
        paths += map(Path, sorted(matches))
    return paths


def _plain(path: str) -> str:
    # Walking "." prefixes every name with it.
    return path.removeprefix("./")


def _ending(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return ending.lower() if dot else ""


def _is_hidden(path: str, root: str) -> bool:
    """Whether an object, or what would be a folder above it, has a hidden file's name."""
    parts = path.removeprefix(root).split("/")
    return any(part.startswith(".") and part not in {".", ".."} for part in parts)


def _is_unfinished(folder: str) -> bool:
    """Whether a folder is a download that Safari has not finished: `talk.mp3.download`."""
    name, _, ending = folder.rpartition(".")
    return ending.lower() in UNFINISHED_ENDINGS and _ending(name) in MEDIA_ENDINGS


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    return f"it cannot be read: {error.strerror}"
