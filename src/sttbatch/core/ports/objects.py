"""The port of object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol, TypeAlias

from msgspec import Struct

from sttbatch.core.locations import ObjectUrl


class ObjectFacts(Struct, frozen=True):
    """An object as a listing describes it; it has what a `FileStatus` has.

    Attributes:
        etag: with its quotes; another content has another one.
        modified_ns: in nanoseconds since the epoch.
    """

    url: ObjectUrl
    size_bytes: int
    etag: str
    modified_ns: int

    @property
    def st_size(self) -> int:
        return self.size_bytes

    @property
    def st_mtime_ns(self) -> int:
        return self.modified_ns

    @property
    def st_ctime_ns(self) -> int:
        return self.modified_ns

    @property
    def st_ino(self) -> int:
        """A number of 63 bits that stands for the ETag."""
        return int.from_bytes(hashlib.sha256(self.etag.encode()).digest()[:8]) >> 1


class ObjectStore(Protocol):
    """Objects in buckets; all methods block, and may be called in several threads.

    They raise `ObjectRefused` if the store refuses, and `ObjectsUnreachable` if it does not answer.
    """

    def list(self, prefix: ObjectUrl) -> Iterator[ObjectFacts]:
        """All objects whose keys begin with that of `prefix`, page by page."""

    def facts(self, url: ObjectUrl) -> ObjectFacts | None:
        """An object's facts; None: there is none."""

    def fetch(self, facts: ObjectFacts, path: Path, stopping: Callable[[], bool]) -> str:
        """Write an object to a new file; returns its SHA-256 in hexadecimal digits.

        A broken connection is resumed. Raises RecordingError if the object changed meanwhile, and
        Stopped if `stopping`, which is called for each MiB, becomes true.
        """

    def read(self, facts: ObjectFacts) -> bytes | None:
        """The content of a small object; None: it has changed or is gone."""

    def sha256(self, facts: ObjectFacts) -> str | None:
        """The SHA-256 of an object in hexadecimal digits; None: it has changed or is gone."""

    def put(self, url: ObjectUrl, content: IO[bytes], replaces: ObjectFacts | None) -> bool:
        """Write an object in one request, in place of the one that was seen, or of none.

        `content` is written from its start, wherever it stands.

        Returns False, without a change, if another object is there.
        """

    def describe(self) -> str:
        """Say which endpoint takes the key."""

    def probe(self, prefix: ObjectUrl) -> str:
        """Say how safely outputs are written below `prefix`, by writing an object there."""


Objects: TypeAlias = Callable[[], ObjectStore]
"""Gives the store on first use, as its library takes half a second to load."""
