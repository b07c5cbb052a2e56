"""How outputs are called: the names that a recording may have, and the one that it gets."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from sttbatch.core.options import OUTPUT_FORMATS

NAME_MAX_BYTES = 255
"""Of one path component, on every file system that Linux and macOS commonly use."""

_LONGEST_ENDING = max(len(name) for name in OUTPUT_FORMATS) + len(".")
_HASH_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording and the folder among the inputs that it was found under."""

    path: Path
    root: Path


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Where one recording's outputs go.

    Attributes:
        paths: by format, in the order of the formats asked for, spelled as the user spells the
            folder.
        source: the recording, as `outputs.source` in the ledger has it.
        stem: the outputs' common path without `.format`, as `outputs.path` in the ledger has it.
    """

    recording: Recording
    paths: dict[str, Path]
    source: bytes = field(repr=False)
    stem: bytes = field(repr=False)

    def key(self, format_name: str) -> bytes:
        """The path of one format's output as the ledger has it."""
        return self.stem + b"." + format_name.encode()


@dataclass(frozen=True, slots=True)
class OutputLocation:
    """A recording, the folder that its outputs go to, and how the ledger spells both."""

    recording: Recording
    folder: Path
    source: bytes
    folder_key: bytes


class OutputLocator:
    """Finds each recording's `OutputLocation`, looking at the disk once for each folder.

    In the ledger a folder has its real path: one reached over a symlink is not another one.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._real: dict[Path, bytes] = {}

    def locate(self, recording: Recording) -> OutputLocation:
        path = recording.path
        folder = path.parent if self._directory is None else self._mirrored(recording)
        source = os.path.join(self._key(path.parent), os.fsencode(path.name))  # noqa: PTH118 - bytes
        return OutputLocation(recording, folder, source, self._key(folder))

    def _mirrored(self, recording: Recording) -> Path:
        assert self._directory is not None
        root = os.path.abspath(recording.root)  # noqa: PTH100 - resolve() would follow symlinks
        folder = os.path.abspath(recording.path.parent)  # noqa: PTH100
        inside = os.path.relpath(folder, root)
        if inside.split(os.sep, 1)[0] == os.pardir:
            return self._directory
        return self._directory / inside

    def _key(self, folder: Path) -> bytes:
        if folder not in self._real:
            self._real[folder] = os.fsencode(os.path.realpath(folder))
        return self._real[folder]


def stems(name: str, source: bytes) -> Iterator[str]:
    """What outputs of a recording called `name` may be called, without `.txt`; the best first.

    `talk.mp3` gives `talk`, `talk.mp3`, `talk.mp3-1f3a5c7e` and then longer hashes of `source`.
    """
    short = Path(name).stem
    yield fitted(short)
    yield fitted(name)
    digest = sha256(source).hexdigest()
    for digits in (_HASH_DIGITS, 2 * _HASH_DIGITS, len(digest)):
        yield fitted(name, f"-{digest[:digits]}")


def fitted(stem: str, suffix: str = "") -> str:
    """`stem` and `suffix`, shortened with a hash where an ending would not fit behind them.

    Temporary files have short names of their own, so they need no room here.
    """
    room = NAME_MAX_BYTES - _LONGEST_ENDING
    if len(os.fsencode(stem + suffix)) <= room:
        return stem + suffix
    suffix = f"-{sha256(os.fsencode(stem)).hexdigest()[:_HASH_DIGITS]}{suffix}"
    while len(os.fsencode(stem + suffix)) > room:
        stem = stem[:-1]
    return stem + suffix


def folded(path: bytes) -> str:
    """The same for all paths that a file system without regard to case takes for one."""
    text = unicodedata.normalize("NFC", os.fsdecode(path))
    return unicodedata.normalize("NFC", text.casefold())
