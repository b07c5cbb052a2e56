"""Records about files: contents of recordings, owners and states of outputs.

Paths are bytes, as the file system has them.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, field


class FileRecord(NamedTuple):
    """A file's content hash, and the state of the file in which it was computed.

    `indexed_at_ns` is when it was read, by the clock of the machine that read it.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    indexed_at_ns: int
    sha256: str


class RecordingIdentity(Struct, frozen=True):
    """Everything that may identify a recording.

    Attributes:
        file_sha256s: of its contents; several where the file at its path has changed.
        paths: of files that have or had this content, in every spelling that may be stored.
        unreadable: stand-ins for the content hashes of those files if they could not be read.
    """

    file_sha256s: tuple[str, ...]
    paths: tuple[bytes, ...]
    unreadable: tuple[str, ...]


class ErasedRecording(Struct, frozen=True):
    """What was removed of a recording.

    Attributes:
        keys: of all its cache entries, including those that no longer existed.
        entries: number of cache entries that were removed.
        rows: numbers of other removed rows, by table.
        running_jobs: jobs that process it; what they finish later is stored again.
    """

    keys: tuple[str, ...] = ()
    entries: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    running_jobs: int = 0


class OutputOwner(NamedTuple):
    """An output file and the recording that owns its name.

    Attributes:
        is_elsewhere: another machine wrote it, so that its files need not be visible here.
    """

    path: bytes
    source: bytes
    format: str
    is_elsewhere: bool = False


class OutputDigests(NamedTuple):
    """An output file, its owner, and the SHA-256 digests by which it is recognised as ours.

    Attributes:
        is_elsewhere: as in `OutputOwner`.
    """

    path: bytes
    source: bytes
    sha256s: tuple[str, ...]
    is_elsewhere: bool = False


class OutputRecipe(NamedTuple):
    """How outputs are made again.

    Attributes:
        transcript_key: of the stored transcript.
        text: JSON that `outputs.recipes` understands.
        rules: as in `OutputOptions`.
    """

    transcript_key: str
    text: str
    rules: str = ""


class RecordedOutput(NamedTuple):
    """An output of a recording; `recipe` is None if it is unknown."""

    path: bytes
    source: bytes
    format: str
    recipe: OutputRecipe | None = None


class OutputState(NamedTuple):
    """The state of an output after it was written.

    Attributes:
        made_from: a digest of everything that decides its bytes; None: unknown.
        file_state: of its file, so that a change is noticed without reading it; None: unknown.
        audio_s: length of the recording in seconds.
    """

    path: bytes
    source: bytes
    format: str
    made_from: str | None
    file_state: str | None
    audio_s: float | None
