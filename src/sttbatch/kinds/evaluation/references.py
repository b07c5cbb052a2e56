"""Reference texts: which recording each one is of, and their reading."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.core.models import Segment
from sttbatch.outputs.edited_text import edited_segments

FORMATS = ("txt", "srt", "vtt", "tsv", "json")
"""If there are several of one name, the first of these counts."""

LARGEST_BYTES = 1 << 26
"""A larger file is no reference: ten hours of speech are half a megabyte of text."""


class References:
    """Texts in a file, or in a folder and below it, by the names of their recordings.

    Raises UsageError if there are none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_file = path.is_file()
        found = [path] if self.is_file else sorted(path.rglob("*"))
        self.files = [
            each for each in found if each.suffix[1:].lower() in FORMATS and each.is_file()
        ]
        self._forms: dict[Path, tuple[Path, ...]] = {}
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for file in self.files:
            self._by_stem[_composed(file.stem)].append(file)
        if not self.files:
            kinds = ", ".join(FORMATS)
            raise UsageError(f"{path}: there are no reference texts; they are {kinds} files")

    def of(self, recording: PurePosixPath) -> Path | None:
        """The reference of a recording: its name with another ending, or with one more.

        Of several in different folders that whose folders are named most alike. Raises
        RecordingError if there are still several.
        """
        named = self._by_stem.get(_composed(recording.name))
        named = named or self._by_stem.get(_composed(recording.stem), [])
        alike = [(_shared_folders(file, recording), file) for file in named]
        most = max((shared for shared, _ in alike), default=0)
        nearest = [file for shared, file in alike if shared == most]
        if len({file.parent for file in nearest}) > 1:
            names = " and ".join(map(str, nearest[:2]))
            raise RecordingError(f"it has several reference texts: {names}; keep one")
        found = sorted(nearest, key=_preference)
        if found:
            self._forms[found[0]] = tuple(found)
        return found[0] if found else None

    def forms_of(self, reference: Path) -> tuple[Path, ...]:
        """What `of` has found, and those of its name in other formats, the preferred ones first."""
        return self._forms[reference]


def read_reference(path: Path, speakers: Sequence[str]) -> list[Segment]:
    """The segments of a reference; raises RecordingError if it cannot be read."""
    data = read_bytes(path)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # Words that are lost in decoding would count as errors of the transcript.
        raise RecordingError(f"{path} is not UTF-8; save it as UTF-8 text") from error
    segments = edited_segments(data, path.suffix[1:].lower(), speakers)
    if segments is None:
        raise RecordingError(f"{path} is not a text that can be read")
    return segments


def read_bytes(path: Path) -> bytes:
    """The bytes of a reference; raises RecordingError if it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RecordingError(f"{path} is larger than {LARGEST_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error


def _preference(file: Path) -> int:
    return FORMATS.index(file.suffix[1:].lower())


def _shared_folders(file: Path, recording: PurePosixPath) -> int:
    """How many folders above both have the same names."""
    count = 0
    for one, other in zip(file.parent.parts[::-1], recording.parent.parts[::-1], strict=False):
        if _composed(one) != _composed(other):
            break
        count += 1
    return count


def _composed(name: str) -> str:
    # Some systems decompose names.
    return unicodedata.normalize("NFC", name)
