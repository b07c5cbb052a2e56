"""What is read to know a file's content, and what is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.errors import RecordingError, Stopped
from sttbatch.core.file_records import FileRecord


class Forgetful:
    """An index that remembers nothing."""

    async def records(self, paths: Iterable[bytes]) -> dict[bytes, FileRecord]:
        return {}

    async def remember(self, records: Mapping[bytes, FileRecord]) -> None:
        return None


def test_hashing_ends_when_the_run_does(tmp_path: Path) -> None:
    """A terabyte takes ten minutes."""
    path = tmp_path / "sparse.wav"
    path.touch()
    os.truncate(path, 1 << 40)
    asked: list[None] = []

    def stopping() -> bool:
        asked.append(None)
        return len(asked) > 3

    with pytest.raises(Stopped):
        asyncio.run(Fingerprinter(Forgetful()).fingerprint(path, stopping))  # type: ignore[arg-type]


def test_the_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "a").write_bytes(data)
    record = asyncio.run(Fingerprinter(Forgetful()).fingerprint(tmp_path / "a"))  # type: ignore[arg-type]
    assert record.sha256 == hashlib.sha256(data).hexdigest()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(RecordingError, match="not a regular file"):
        asyncio.run(Fingerprinter(Forgetful()).fingerprint(tmp_path / "pipe.wav"))  # type: ignore[arg-type]


def test_short_files_are_read_together_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "missing", "pipe")]
    for path in paths[:2]:
        path.write_bytes(path.name.encode())
    os.mkfifo(paths[3])
    remembered: list[Mapping[bytes, FileRecord]] = []

    class Index(Forgetful):
        async def remember(self, records: Mapping[bytes, FileRecord]) -> None:
            remembered.append(records)

    fingerprinter = Fingerprinter(Index())  # type: ignore[arg-type]
    found = asyncio.run(fingerprinter.read_short(paths, lambda: False))
    assert {path.name: record.sha256 for path, record in found.items()} == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b")
    }
    assert [set(each) for each in remembered] == [{os.fsencode(path) for path in paths[:2]}]
