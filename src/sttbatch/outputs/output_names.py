"""Names of outputs: where they are, and the candidates for a recording's name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from msgspec import Struct

from sttbatch.core.locations import Location, ObjectUrl, is_object, location
from sttbatch.core.options import OUTPUT_FORMATS

KEY_MAX_BYTES = 1024
"""Maximum length of an object's key."""

NAME_MAX_BYTES = 255
"""Maximum length of a path component on common file systems of Linux and macOS."""

LONGEST_ENDING = max(len(name) for name in OUTPUT_FORMATS) + len(".")
STEM_MAX_BYTES = NAME_MAX_BYTES - LONGEST_ENDING
_HASH_DIGITS = 8
_LONGEST_HASH = 2 * len(sha256().hexdigest())


class Recording(Struct, frozen=True):
    """A recording and the input folder that contains it."""

    path: Location
    root: Location


class OutputPlan(Struct, frozen=True):
    """The paths of one recording's outputs.

    Attributes:
        paths: by format, in the order of the requested formats, spelled as by the user.
        source: the recording, as `outputs.source` in the ledger.
        stem: the outputs' common path without `.format`, as `outputs.path` in the ledger.
    """

    recording: Recording
    paths: dict[str, Location]
    source: bytes
    stem: bytes

    def key(self, format_name: str) -> bytes:
        """The path of one format's output as in the ledger."""
        return self.stem + b"." + format_name.encode()


class OutputLocation(NamedTuple):
    """A recording and the folder of its outputs, whose paths end in a slash.

    Attributes:
        source, target: of the recording and the folder, with symlinks of folders resolved, as in
            the ledger.
        folder: the target as the user spells it; empty: the working directory.
    """

    source: bytes
    target: bytes
    folder: str


class OutputLocator:
    """Finds the `OutputLocation` of recordings, with one look at the disk for each folder."""

    def __init__(self, directory: os.PathLike[str] | None) -> None:
        self._directory = directory
        self._folders: dict[tuple[str, str], OutputLocation] = {}

    def locate(self, path: str, root: str) -> OutputLocation:
        """The location for a recording below `root`."""
        folder, slash, name = path.rpartition("/")
        key = folder + slash, root
        if key not in self._folders:
            target = self._target(*key)
            self._folders[key] = OutputLocation(_real(key[0]), _real(target), target)
        real, outputs, spelled = self._folders[key]
        return OutputLocation(real + os.fsencode(name), outputs, spelled)

    def _target(self, folder: str, root: str) -> str:
        if self._directory is None:
            return folder
        target = os.path.join(self._directory, "")
        if is_object(folder):
            inside = folder.removeprefix(root)
            return target + (inside if is_object(target) else _as_folders(inside))
        inside = os.path.relpath(folder or ".", root)
        if inside == os.curdir or inside.split(os.sep, 1)[0] == os.pardir:
            return target
        return f"{target}{inside}/" if is_object(target) else os.path.join(target, inside, "")


def link_between(
    output: Location, recording: Location, public_base_url: str | None = None
) -> str | None:
    """The URL, mostly a relative one, by which an output refers to its recording.

    None: they are in two buckets, or one of them in none. `public_base_url` as in `OutputOptions`.
    """
    if isinstance(output, ObjectUrl) and isinstance(recording, ObjectUrl):
        if output.bucket != recording.bucket:
            return None
        if public_base_url is not None:
            return object_link(recording, public_base_url)
        return "../" * output.key.count("/") + quote(os.fsencode(recording.key))
    if isinstance(output, ObjectUrl) or isinstance(recording, ObjectUrl):
        return None
    # As they are spelled: a browser takes `..` for the folder above, whatever is a symlink.
    folder = os.path.dirname(os.path.abspath(output))
    return quote(os.fsencode(os.path.relpath(os.path.abspath(recording), folder)))


def object_link(url: ObjectUrl, public_base_url: str) -> str:
    """Where others read an object."""
    return f"{public_base_url.rstrip('/')}/{quote(os.fsencode(url.key))}"


def _as_folders(inside: str) -> str:
    """A prefix of a bucket as a path below a folder, which it cannot lead out of."""
    parts = inside.split("/")[:-1]
    return "".join(f"{fitted(_as_name(part))}/" for part in parts)


def _as_name(part: str) -> str:
    if not part.strip("."):
        return part.replace(".", "%2E") or "%2F"
    return part.replace("\0", "%00")


def _real(folder: str) -> bytes:
    if is_object(folder):
        return os.fsencode(folder)
    return os.path.join(os.fsencode(os.path.realpath(folder)), b"")


def longest_name(folder: str) -> int:
    """The bytes that a name may have in a folder, or behind a prefix."""
    if not is_object(folder):
        return NAME_MAX_BYTES
    used = len(os.fsencode(getattr(location(folder), "key", "")))
    # With less, the store says that the key is too long.
    return max(KEY_MAX_BYTES - used, 2 * _LONGEST_HASH)


def stems(name: str, source: bytes, longest: int = STEM_MAX_BYTES) -> Iterator[str]:
    """Possible names, without `.txt`, of the outputs of a recording called `name`; the best first.

    `talk.mp3` gives `talk`, `talk.mp3`, `talk.mp3-1f3a5c7e` and then longer hashes of `source`.
    """
    short = Path(name).stem
    yield fitted(short, longest=longest)
    yield fitted(name, longest=longest)
    digest = sha256(source).hexdigest()
    for digits in (_HASH_DIGITS, 2 * _HASH_DIGITS, len(digest)):
        yield fitted(name, f"-{digest[:digits]}", longest)


def fitted(stem: str, suffix: str = "", longest: int = STEM_MAX_BYTES) -> str:
    """`stem` and `suffix`, shortened with a hash to `longest` bytes if they are more."""
    if len(os.fsencode(stem + suffix)) <= longest:
        return stem + suffix
    suffix = f"-{sha256(os.fsencode(stem)).hexdigest()[:_HASH_DIGITS]}{suffix}"
    while len(os.fsencode(stem + suffix)) > longest:
        stem = stem[:-1]
    return stem + suffix


def folded(path: bytes) -> str:
    """A path's form for comparison, equal for paths that are one on case-insensitive systems."""
    text = unicodedata.normalize("NFC", os.fsdecode(path))
    return unicodedata.normalize("NFC", text.casefold())
