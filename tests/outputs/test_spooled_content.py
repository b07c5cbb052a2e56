from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sttbatch.core.models import ChunkSummary, Segment, Word
from sttbatch.outputs.formats import json_pieces
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.spooled_content import IN_MEMORY_BYTES, SpooledContent
from sttbatch.outputs.writer import OutputWriter, Written
from tests.outputs.examples import document, recording, text, with_ledger
from tests.queue.harness import Ledger

from sttbatch.database.database import Database  # isort: skip
from sttbatch.database.outputs import SqlOutputStore  # isort: skip

WORDS = 10
LONG = [
    Segment(
        "слово " * WORDS,
        float(number),
        number + 0.9,
        tuple(Word("слово", number + step / 11, number + step / 10) for step in range(WORDS)),
    )
    for number in range(4500)
]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_bytes() -> int:
    return tracemalloc.get_traced_memory()[1]


@pytest.mark.parametrize("size", [0, 5, IN_MEMORY_BYTES + 1])
def test_content_is_read_as_it_was_made_as_often_as_one_likes(tmp_path: Path, size: int) -> None:
    with SpooledContent((b"x" for _ in range(size)), tmp_path) as content:
        assert content.size_bytes == size
        for _ in range(2):
            assert b"".join(content.blocks()) == b"x" * size
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 129])
@pytest.mark.parametrize("after", [{}, {"gaps": iter(()), "url": "x"}])
def test_json_in_pieces_is_the_json_of_the_whole(count: int, after: dict[str, object]) -> None:
    items = [{"id": number, "words": [{"word": "\x9b"}]} for number in range(count)]
    whole: dict[str, object] = {"source": "a", "segments": items, **after}
    made = b"".join(json_pieces({**whole, "segments": iter(items)}))
    if after:
        whole["gaps"] = []
    expected = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    assert made == expected.replace("\x9b".encode(), rb"\u009b")


def test_a_list_of_chunks_may_be_long_too() -> None:
    chunk = ChunkSummary(0, 0.0, 1.0, cached=False, status="ok")
    made = document(LONG[:150])
    made = msgspec.structs.replace(
        made, transcript=msgspec.structs.replace(made.transcript, chunks=(chunk,) * 150)
    )
    content = msgspec.json.decode(text("json", made))
    assert [each["id"] for each in content["segments"]] == list(range(150))
    assert len(content["chunks"]) == 150


@pytest.mark.usefixtures("traced")
def test_no_writer_holds_a_long_output(ledger: Ledger, tmp_path: Path) -> None:
    talk, made = recording(tmp_path / "talks" / "talk.mp3"), document(LONG, words=True)

    async def work(database: Database) -> tuple[Written, int]:
        writer = OutputWriter(OutputRegistry(SqlOutputStore(database)), folder=tmp_path)
        await writer.plan([Recording(talk.path, talk.root)], made.options)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        written = await writer.write(made, talk.path)
        return written, peak_bytes() - before

    written, used = with_ledger(ledger, work)
    sizes = [Path(path).stat().st_size for path in written.paths]
    assert sum(sizes) > 6_000_000
    assert used < 5_000_000
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["talks"]
