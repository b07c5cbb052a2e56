"""From what the user named to candidate recordings; names and types only, nothing is opened."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEDIA_ENDINGS = frozenset(
    {
        "3g2", "3gp", "aac", "ac3", "aif", "aiff", "amr", "ape", "asf", "au", "avi", "caf",
        "dts", "eac3", "flac", "flv", "m2ts", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2",
        "mp3", "mp4", "mpc", "mpeg", "mpg", "mts", "oga", "ogg", "ogv", "oma", "opus", "ra",
        "rm", "spx", "tak", "ts", "tta", "voc", "w64", "wav", "webm", "wma", "wmv", "wv",
    }
)  # fmt: skip
"""A file that ends so and cannot be read is a failure, not something to pass over."""

OTHER_ENDINGS = frozenset(
    {
        "7z", "bak", "bib", "bmp", "bz2", "cfg", "conf", "css", "csv", "cue", "db", "doc",
        "docx", "epub", "gif", "gz", "htm", "html", "ico", "ini", "ipynb", "jpeg", "jpg", "js",
        "json", "jsonl", "lock", "log", "lrc", "m3u", "m3u8", "md", "nfo", "odp", "ods", "odt",
        "part", "pdf", "pls", "png", "ppt", "pptx", "psd", "py", "rar", "rst", "rtf", "sh",
        "sqlite", "srt", "ssa", "ass", "svg", "tar", "tex", "tif", "tiff", "toml", "tsv",
        "ttml", "txt", "url", "vtt", "webp", "xls", "xlsx", "xml", "yaml", "yml", "zip",
    }
)  # fmt: skip
"""Notes, covers and our own outputs: passed over without a look inside."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a recording.

    Attributes:
        display_path: the path as the user gave it, or below the folder that they gave.
        root: the folder it was found under; outputs elsewhere mirror the tree below it.
        expected: by its ending, or because it was named, it should be a recording; other files
            count only if they turn out to hold sound.
        status: as it was found.
    """

    display_path: str
    root: str
    expected: bool
    status: os.stat_result = field(repr=False)

    @property
    def path(self) -> Path:
        return Path(self.display_path)


@dataclass(slots=True)
class Discovery:
    """What a walk found.

    Attributes:
        failures: (display path, reason) of what cannot be looked at.
        skipped: by root, files that are no recordings, our own outputs among them.
        too_young: files left alone because something may still write to them.
    """

    candidates: list[Candidate] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    too_young: int = 0


class _Walk:
    """Paths are strings and entries are asked for their type: trees of 100,000 files are common."""

    def __init__(self, min_age_s: float) -> None:
        self.found = Discovery()
        self._seen_files: set[str] = set()
        self._seen_folders: set[tuple[int, int]] = set()
        self._real: dict[str, str] = {}
        self._newest = time.time() - min_age_s if min_age_s > 0 else None

    def add(self, path: str) -> None:
        """A path that the user named."""
        try:
            status = os.stat(path)
        except OSError as error:
            self.found.failures.append((path, _reason(error)))
            return
        if stat.S_ISDIR(status.st_mode):
            self._tree(path, status)
        else:
            self._file(path, os.path.dirname(path) or ".", status, named=True)

    def _tree(self, root: str, status: os.stat_result) -> None:
        """A folder and all below it; not by recursion, which deep trees would exhaust."""
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
        """Take a folder's files, and tell of the folders in it as they come."""
        for entry in self._entries(folder, chain[-1]):
            path = entry.path
            try:
                if _ending(entry.name) in OTHER_ENDINGS and entry.is_file():
                    self._skip(path, root)
                    continue
                status = entry.stat()
            except FileNotFoundError as error:
                # A link that leads nowhere, or a file that is gone again.
                if _ending(entry.name) in MEDIA_ENDINGS:
                    self.found.failures.append((path, _reason(error)))
                else:
                    self._skip(path, root)
                continue
            except OSError as error:
                self.found.failures.append((path, _reason(error)))
                continue
            if not stat.S_ISDIR(status.st_mode):
                self._file(path, root, status, named=False)
                continue
            identity = _identity(status)
            if identity in chain:
                self.found.failures.append((path, "it leads back to a folder that it lies in"))
            else:
                yield path, identity

    def _entries(self, folder: str, identity: tuple[int, int]) -> list[os.DirEntry[str]]:
        """What a folder shows, by name; nothing the second time that it is met."""
        if identity in self._seen_folders:
            return []
        self._seen_folders.add(identity)
        try:
            with os.scandir(folder) as found:
                shown = [entry for entry in found if not entry.name.startswith(".")]
        except OSError as error:
            self.found.failures.append((folder, _reason(error)))
            return []
        shown.sort(key=lambda entry: entry.name)
        return shown

    def _file(self, path: str, root: str, status: os.stat_result, *, named: bool) -> None:
        if not named and not stat.S_ISREG(status.st_mode):
            self._skip(path, root)
            return
        # Named twice, or reached by two ways: one path, one recording.
        folder, slash, name = path.rpartition("/")
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder + slash)
        identity = f"{real}/{name}"
        if identity in self._seen_files:
            return
        self._seen_files.add(identity)
        if self._newest is not None and status.st_mtime > self._newest:
            self.found.too_young += 1
            return
        expected = named or _ending(name) in MEDIA_ENDINGS
        self.found.candidates.append(Candidate(_plain(path), root, expected, status))

    def _skip(self, path: str, root: str) -> None:
        self.found.skipped.setdefault(root, []).append(_plain(path))


def discover(paths: Sequence[Path], min_age_s: float = 0.0) -> Discovery:
    """Walk what was named, in order, folders recursively and sorted by name.

    Hidden files are passed over, symbolic links followed, and a folder that lies in itself is
    named as a failure.
    """
    walk = _Walk(min_age_s)
    for path in paths:
        walk.add(str(path))
    return walk.found


def expand(arguments: Sequence[str]) -> Iterator[Path]:
    """Paths as they are, and what patterns match that no shell has expanded.

    Raises:
        FileNotFoundError: nothing is there; its `filename` is the argument.
    """
    import glob

    for argument in arguments:
        path = Path(argument)
        if os.path.lexists(path):
            yield path
            continue
        matches: list[str] = []
        if glob.has_magic(argument):
            matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            raise FileNotFoundError(2, "no such file or folder", argument)
        yield from map(Path, matches)


def _plain(path: str) -> str:
    # Walking "." gives every name two letters that nobody typed.
    return path.removeprefix("./")


def _ending(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return ending.lower() if dot else ""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    return f"it cannot be read: {error.strerror}"
