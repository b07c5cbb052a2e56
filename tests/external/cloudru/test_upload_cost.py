"""Sending costs memory and time in proportion to nothing but the bytes on the wire."""

from __future__ import annotations

import asyncio
import io
import time
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec import field

from sttbatch.core.models import Upload
from tests.cloudru import CloudRu

from .lanes import MIB, Lanes, all_heard, hear_number, lanes_to, upload

SIZE = 20 * MIB


class Counting(io.BytesIO):
    """A file that knows how it was read."""

    reads: list[int]

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.reads.append(len(data))
        return data


class CountedUpload(Upload, frozen=True):
    """An upload whose reads are counted."""

    reads: list[list[int]] = field(default_factory=list)

    def open(self) -> BinaryIO:
        file = Counting(self.data or b"")
        file.reads = []
        self.reads.append(file.reads)
        return file


@pytest.mark.parametrize(
    "versions",
    [pytest.param(("h2", "http/1.1"), marks=pytest.mark.slow), ("http/1.1",)],
    ids=["h2", "h1"],
)
def test_the_body_is_never_built(
    versions: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file and from memory; a fresh reading for each, in blocks."""
    data = b"0000".ljust(SIZE, b".")
    path = tmp_path / "0.wav"
    path.write_bytes(data)
    facts: dict[str, Any] = {
        "filename": "0.wav", "content_type": "audio/wav", "codec": "wav", "duration_s": 60.0,
        "size_bytes": SIZE,
    }  # fmt: skip
    counted = CountedUpload(**facts, data=data)
    held: list[int] = []

    def hear(received: bytes) -> Any:
        return hear_number(received)

    async def sending(endpoint: CloudRu) -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0, upload(0))
            for number, chunk in enumerate([counted, Upload(**facts, path=str(path))]):
                # The endpoint, which holds all of it, is measured too; so look while it waits.
                before = tracemalloc.take_snapshot()
                await lanes.send(number, chunk)
                after = tracemalloc.take_snapshot()
                ours = [tracemalloc.Filter(inclusive=True, filename_pattern="*/sttbatch/*")]
                grown = after.filter_traces(ours).compare_to(before.filter_traces(ours), "filename")
                held.append(sum(each.size_diff for each in grown))
        return lanes

    with CloudRu(recognise=hear, http_versions=versions) as endpoint:
        monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))
        tracemalloc.start()
        try:
            lanes = asyncio.run(sending(endpoint))
        finally:
            tracemalloc.stop()
    assert lanes.words == {0: "0000", 1: "0000"}
    (reads,) = counted.reads
    assert max(reads) <= 64 * 1024
    assert sum(reads) == SIZE
    assert max(held) < MIB


def test_cpu_seconds_grow_no_faster_than_bytes(endpoint: CloudRu) -> None:
    """As bytes, a body of 20 MiB costs far more than four of 5 MiB: httpx slices it anew each time.

    The endpoint's own share is in both.
    """

    async def sending() -> list[float]:
        spent_s = []
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            for numbers in ((1, 2, 3, 4), (5,)):
                begun = time.process_time()
                for number in numbers:
                    await lanes.send(number, upload(number, size=SIZE // len(numbers)))
                spent_s.append(time.process_time() - begun)
            assert lanes.words == all_heard(6)
        return spent_s

    in_four, in_one = asyncio.run(sending())
    assert in_one < 2 * in_four
