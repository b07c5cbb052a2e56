"""Searches in a ledger of each kind: what is found, where, once, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.models import Segment
from sttbatch.database.results import SqlResultStore
from sttbatch.kinds.indexing.indexer import Indexer
from sttbatch.kinds.indexing.searching import SearchOptions
from tests.database.backends import Backend
from tests.kinds.indexing.library import (
    Library,
    opened,
    sentences,
    sha256_of,
    with_library,
    with_words,
)

Run = Callable[[Callable[[Library], Awaitable[None]]], None]


class Clock:
    """Seconds since the epoch; each look is a second later."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def run(backend: Backend, tmp_path: Path) -> Run:
    def run(test: Callable[[Library], Awaitable[None]]) -> None:
        with_library(backend, tmp_path, test, Clock())

    return run


def numbered(count: int, words: int = 7) -> tuple[Segment, ...]:
    """Segments of words that are all different: w0, w1, …"""
    return tuple(
        Segment(
            " ".join(f"w{number}" for number in range(at * words, (at + 1) * words)),
            10.0 * at,
            10.0 * at + 10,
        )
        for at in range(count)
    )


def test_phrases_are_found_over_every_border_and_once(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("a.mp3", numbered(60))
        await library.indexer.update()
        # Of the two phrases over a border, one.
        for at in range(0, 415, 2):
            assert await library.found(f'"w{at} w{at + 1} w{at + 2}"') == [f"a.mp3 {at // 7 * 10}"]
        # Some words apart, as far as a passage is found by words of the next one.
        for at in range(2, 395, 3):
            assert len(await library.found(f"w{at} w{at + 20}")) == 1
        assert await library.found("w0 w400") == []

    run(test)


def test_long_phrases_are_found_wherever_they_begin(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("a.mp3", numbered(60, words=3))
        await library.indexer.update()
        for count in (21, 22, 64):
            for at in (0, 44, 58, 59, 60, 61, 99, 180 - count):
                words = [f"w{number}" for number in range(at, at + count)]
                assert await library.found(f'"{" ".join(words)}"') == [f"a.mp3 {at // 3 * 10}"]
                words[-1] = "w0"
                assert await library.found(f'"{" ".join(words)}"') == []

    run(test)


def test_a_segment_of_many_words_is_found_at_its_words(run: Run) -> None:
    async def test(library: Library) -> None:
        (long,) = numbered(1, words=500)
        timed = with_words(replace(long, end_s=500.0))
        await library.add("timed.mp3", [timed])
        await library.add("untimed.mp3", [replace(long, start_s=7.0)])
        await library.indexer.update()
        for at in (0, 59, 60, 61, 299, 499):
            assert await library.found(f"w{at}") == ["untimed.mp3 7", f"timed.mp3 {at}"]
        hit, _ = await library.hits('"w58 w59 w60 w61"')
        assert [len(each.marks) for each in hit.utterances] == [2, 2]

    run(test)


class ErasedMeanwhile(SqlResultStore):
    """What is read is erased before it is indexed."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        values = await super().get_many(keys)
        await self.delete(list(keys))
        return values


def test_what_is_erased_while_it_is_indexed_is_not_found(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("a.mp3", sentences("тайное слово"))
        results = ErasedMeanwhile(library.database)
        await Indexer(library.index, results, library.source).update()
        assert await library.index.transcripts() == {}
        assert await library.found("тайный") == []

    run(test)


def test_the_newest_transcript_of_a_content_and_stream_is_searched(run: Run) -> None:
    async def test(library: Library) -> None:
        old = await library.add("a.mp3", sentences("старые слова"), settings="old")
        await library.indexer.update()
        await library.add("b.mp3", sentences("другие слова"))
        new = await library.add("a.mp3", sentences("новые слова"), settings="new")
        await library.add("a.mp3", sentences("чужие слова"), settings="second", stream=1)
        await library.indexer.update()
        assert await library.found("слово") == ["a.mp3 0", "a.mp3 0", "b.mp3 0"]
        assert await library.found("старый") == []
        # Without it, the older one is there again.
        await library.results.delete([new])
        await library.indexer.update()
        assert await library.found("новый") == []
        assert [hit.transcript.key for hit in await library.hits("старый")] == [old]
        # Of older ones nothing is left either.
        await library.results.clear()
        await library.indexer.update()
        assert await library.found("слово") == []
        assert await library.index.transcripts() == {}

    run(test)


def test_a_transcript_that_was_stored_again_is_indexed_again(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("a.mp3", sentences("раньше так"))
        await library.indexer.update()
        await library.add("a.mp3", sentences("теперь иначе"))
        await library.indexer.update()
        assert await library.found("раньше") == []
        assert await library.found("теперь") == ["a.mp3 0"]

    run(test)


def test_where_and_since_when_and_who(run: Run) -> None:
    async def test(library: Library) -> None:
        two = (
            replace(sentences("договор подписан")[0], speaker="1"),
            replace(sentences("договор отложен")[0], start_s=5.0, speaker="2"),
        )
        await library.add("x/a.mp3", two)
        await library.add("x/b.mp3", sentences("договор"))
        await library.add("xy/c.mp3", sentences("договор"))
        await library.indexer.update()
        assert await library.found("договор") == ["c.mp3 0", "b.mp3 0", "a.mp3 0", "a.mp3 5"]
        assert await library.found("договор", SearchOptions((b"/x",))) == [
            "b.mp3 0", "a.mp3 0", "a.mp3 5"]  # fmt: skip
        assert await library.found("договор", SearchOptions((b"/x/b.mp3", b"/xy/"))) == [
            "c.mp3 0", "b.mp3 0"]  # fmt: skip
        assert await library.found("договор", SearchOptions((b"/y",))) == []
        (newest, *_) = (await library.index.transcripts()).values()
        since = max(each.created_at for each in (await library.index.transcripts()).values())
        assert newest.created_at <= since
        assert await library.found("договор", SearchOptions(since=since)) == ["c.mp3 0"]
        assert await library.found("договор", SearchOptions(speaker="2")) == ["a.mp3 5"]
        assert await library.found("подписан", SearchOptions(speaker="2")) == []

    run(test)


def test_context_is_what_is_said_around_it(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("a.mp3", numbered(40))
        await library.indexer.update()
        for at in (0, 1, 8, 9, 20, 38, 39):
            (hit,) = await library.hits(f"w{7 * at}", SearchOptions(context=2))
            assert [each.start_s for each in hit.before] == [
                10.0 * near for near in range(max(0, at - 2), at)]  # fmt: skip
            assert [each.start_s for each in hit.after] == [
                10.0 * near for near in range(at + 1, min(40, at + 3))]  # fmt: skip

    run(test)


def test_many_hits_come_in_order(run: Run) -> None:
    async def test(library: Library) -> None:
        for number in range(6):
            await library.add(f"{number}.mp3", sentences("слово\n" * 400))
        await library.indexer.update()
        expected = [f"{number}.mp3 {5 * at}" for number in range(5, -1, -1) for at in range(400)]
        assert await library.found("слова") == expected

    run(test)


def test_a_copy_that_exists_names_a_recording(run: Run, tmp_path: Path) -> None:
    async def test(library: Library) -> None:
        here = tmp_path / "here.mp3"
        here.write_bytes(b"")
        for path in (tmp_path / "a.mp3", here, tmp_path / "z.mp3"):
            await library.add("one", sentences("слово"), path=path)
        await library.indexer.update()
        assert await library.found("слово") == ["here.mp3 0"]
        here.unlink()
        assert await library.found("слово") == ["a.mp3 0"]

    run(test)


def test_two_at_once_index_everything_once(backend: Backend, tmp_path: Path) -> None:
    async def update(library: Library) -> None:
        indexers = [
            Indexer(index, library.results, library.source)
            for index in (library.index, backend.open_search(tmp_path))
        ]
        try:
            await asyncio.gather(*(each.update() for each in indexers))
        finally:
            indexers[1]._index.database.close()  # type: ignore[attr-defined]

    async def test(library: Library) -> None:
        for number in range(12):
            await library.add(f"{number}.mp3", sentences("слово дня"))
        await update(library)
        assert len(await library.found("слова дня")) == 12
        assert len(await library.index.transcripts()) == 12
        assert {each.file_sha256 for each in (await library.index.transcripts()).values()} == {
            sha256_of(f"{number}.mp3") for number in range(12)}  # fmt: skip

    with opened(backend, tmp_path) as library:
        asyncio.run(test(library))
