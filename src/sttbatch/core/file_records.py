"""What is remembered of files: contents of recordings, owners and states of outputs.

Paths are bytes, as the file system has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class FileRecord(NamedTuple):
    """A file's content hash, and the state of the file in which it was computed.

    Attributes:
        indexed_at_ns: when it was read, by the clock of the machine that read it.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    indexed_at_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RecordingIdentity:
    """All that a recording may be known by.

    Attributes:
        file_sha256s: of its contents; several where the file at its path has changed.
        paths: of files that hold or held it, in every spelling that may be stored.
        unreadable: what stands for the content of those files where they could not be read.
    """

    file_sha256s: tuple[str, ...]
    paths: tuple[bytes, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErasedRecording:
    """What was removed of a recording.

    Attributes:
        keys: of all its cache entries, those that were gone already included.
        entries: cache entries that were removed.
        rows: by table, of what was known beside entries.
        running_jobs: jobs that process it; what they still finish is stored again.
    """

    keys: tuple[str, ...] = ()
    entries: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    running_jobs: int = 0


class OutputOwner(NamedTuple):
    """An output file and the recording that owns its name."""

    path: bytes
    source: bytes
    format: str


class OutputDigests(NamedTuple):
    """An output file, its owner, and the SHA-256 digests that it may have and still be ours."""

    path: bytes
    source: bytes
    sha256s: tuple[str, ...]


class OutputState(NamedTuple):
    """How an output was left.

    Attributes:
        made_from: stands for everything that decides its bytes; None: unknown.
        file_state: of its file, so that a change shows without reading it; None: unknown.
        audio_s: seconds of the recording.
    """

    path: bytes
    source: bytes
    format: str
    made_from: str | None
    file_state: str | None
    audio_s: float | None
