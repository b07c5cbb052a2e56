"""Searches by meaning, with the model that works offline, in a ledger of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.composition.meaning import LocalEmbedder
from sttbatch.core.errors import ChunkError, UsageError
from sttbatch.core.language_models import Embeddings
from sttbatch.core.models import Segment
from sttbatch.core.search import EmbeddingModel, IndexedTranscript
from sttbatch.kinds.indexing.meaning import MeaningIndexer, check_vectors
from sttbatch.kinds.indexing.meaning_search import MeaningSearch
from sttbatch.kinds.indexing.query import free_query
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions
from sttbatch.kinds.indexing.vectors import normalized
from tests.database.backends import Backend
from tests.kinds.indexing.library import EVERYWHERE, Library, opened, sentences, with_library
from tests.kinds.indexing.talks import QUESTIONS, TALKS, language_of

Run = Callable[[Callable[[Library], Awaitable[None]]], None]

local = cache(LocalEmbedder)


@dataclass
class Counting:
    """An `Embedder` that remembers what it was asked for, and refuses what it is told to."""

    model: EmbeddingModel = field(default_factory=lambda: local().model)
    asked: list[str] = field(default_factory=list)
    refused: str = ""

    async def embed(self, transcript: IndexedTranscript, texts: Sequence[str]) -> Embeddings:
        if self.refused and self.refused in " ".join(texts):
            raise ChunkError("refused")
        self.asked += texts
        return await local().embed(transcript, texts)

    async def embed_query(self, text: str) -> Embeddings:
        return await local().embed_query(text)


async def fill(library: Library, embedder: Counting | None = None) -> int:
    """Bring index and vectors up to date; returns the number of transcripts that were refused."""
    await library.indexer.update()
    indexer = MeaningIndexer(library.index, embedder or Counting())
    return len(await indexer.fill(await indexer.missing(), at_once=2))


async def hits(library: Library, text: str, options: SearchOptions = EVERYWHERE) -> list[Hit]:
    vector = normalized((await local().embed_query(text)).vectors)
    search = Search(library.index, library.source, free_query(text), options)
    return [hit async for hit in MeaningSearch(library.index, search, vector).hits()]


async def found(library: Library, text: str, options: SearchOptions = EVERYWHERE) -> list[str]:
    """Names of recordings, the best first."""
    every = await hits(library, text, options)
    return [(hit.path or b"?").decode().rpartition("/")[2] for hit in every]


@pytest.fixture
def run(backend: Backend, tmp_path: Path) -> Run:
    return lambda test: with_library(backend, tmp_path, test)


@pytest.fixture(scope="module")
def talks(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with opened(backend, tmp_path_factory.mktemp("library")) as library:

        async def prepare() -> None:
            for name, text in TALKS.items():
                await library.add(name, sentences(text), language_of(name))
            await fill(library)

        asyncio.run(prepare())
        yield library


@pytest.mark.parametrize(("question", "name"), QUESTIONS.items())
def test_what_is_meant_is_found_first(talks: Library, question: str, name: str) -> None:
    every = asyncio.run(found(talks, question))
    assert every[0] == name
    assert sorted(every) == sorted(TALKS), "everything is a hit, the better ones come first"


def test_words_count_beside_the_meaning(talks: Library) -> None:
    """A name says nothing to the model; nothing in the text is an operator."""
    for text in ("Гоголь", 'что говорили про "гоголя" -школа OR *'):
        best, *_ = asyncio.run(hits(talks, text))
        assert best.path == b"/school.mp3"
        (marked,) = [each for each in best.utterances if each.marks]
        assert [marked.utterance.text[a:b] for a, b in marked.marks] == ["Гоголю"]
        assert (best.second, marked.utterance.start_s) == (5.0, 5.0)
        assert len(best.passage) == 5
    scores = [hit.score or 0.0 for hit in asyncio.run(hits(talks, "магма"))]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_where_and_since_when_and_who_and_around(run: Run) -> None:
    async def test(library: Library) -> None:
        garden, bread = (sentences(TALKS[name]) for name in ("garden.mp3", "bread.mp3"))
        said = [replace(each, speaker=str(at % 2)) for at, each in enumerate(garden)]
        await library.add("x/garden.mp3", said)
        await library.add("xy/bread.mp3", bread)
        await fill(library)
        (one,) = await hits(library, "полив", SearchOptions((b"/x",), context=1))
        assert one.path == b"/x/garden.mp3"
        assert await found(library, "полив", SearchOptions((b"/z",))) == []
        (one,) = await hits(library, "поливать помидоры", SearchOptions(speaker="1", context=1))
        # That word is in a sentence of the other speaker.
        assert [each.utterance.speaker for each in one.utterances] == ["1"]
        assert (one.second, [each.marks for each in one.utterances]) == (5.0, [()])
        assert [each.text for each in one.before + one.after] == [garden[0].text, garden[2].text]
        newest = max(each.created_at for each in (await library.index.transcripts()).values())
        assert await found(library, "полив", SearchOptions(since=newest)) == ["bread.mp3"]

    run(test)


def test_a_part_of_a_long_recording_is_found_at_its_time(run: Run) -> None:
    async def test(library: Library) -> None:
        segments: list[Segment] = []
        for name, text in TALKS.items():
            for _ in range(8 if name != "network.mp3" else 4):
                segments += sentences(text)
        timed = [
            replace(each, start_s=10.0 * at, end_s=10.0 * at + 10)
            for at, each in enumerate(segments)
        ]
        await library.add("long.mp3", timed)
        counting = Counting()
        await fill(library, counting)
        sizes = [len(text.split()) for text in counting.asked[:-1]]
        assert 180 <= min(sizes) <= max(sizes) <= 230
        first = next(each for each in timed if "маршрутизатор" in each.text)
        last = [each for each in timed if "Резервный" in each.text][-1]
        best, *_ = await hits(library, "почему не работал интернет")
        # Passages do not end where the subject does.
        assert best.passage[0].start_s <= last.start_s
        assert best.passage[-1].end_s >= first.end_s

    run(test)


def test_only_what_is_new_is_embedded_and_what_is_gone_is_not_found(run: Run) -> None:
    async def test(library: Library) -> None:
        for name in ("garden.mp3", "bread.mp3", "clinic.mp3"):
            await library.add(name, sentences(TALKS[name]))
        first, second, third = Counting(refused="мазь"), Counting(), Counting()
        assert await fill(library, first) == 1
        assert len(first.asked) == 2
        assert sorted(await found(library, "тесто")) == ["bread.mp3", "garden.mp3"]
        assert await fill(library, second) == 0
        assert ["мазь" in text for text in second.asked] == [True]
        await library.add("garden.mp3", sentences(TALKS["network.mp3"]))
        await library.results.delete([await library.add("bread.mp3", ())])
        await fill(library, third)
        assert ["маршрутизатор" in text for text in third.asked] == [True]
        assert (await found(library, "интернет")) == ["garden.mp3", "clinic.mp3"]

    run(test)


def test_vectors_of_two_models_are_never_mixed(run: Run) -> None:
    async def test(library: Library) -> None:
        for name in ("garden.mp3", "bread.mp3"):
            await library.add(name, sentences(TALKS[name]))
        await fill(library)
        facts = await library.index.vector_facts()
        assert facts is not None
        check_vectors(facts, local().model, 512)
        other = EmbeddingModel("a/model", "https://models.example")
        for model, dimension, advice in (
            (other, 512, "`sttbatch index --semantic`"),
            (local().model, 256, "`sttbatch index --rebuild --semantic`"),
        ):
            with pytest.raises(UsageError, match=advice):
                check_vectors(facts, model, dimension)
        counting = Counting(other)
        await fill(library, counting)
        assert len(counting.asked) == 2
        facts = await library.index.vector_facts()
        assert facts is not None
        assert facts.model == other

    run(test)


def test_an_index_made_anew_has_no_vectors_left(run: Run) -> None:
    async def test(library: Library) -> None:
        await library.add("garden.mp3", sentences(TALKS["garden.mp3"]))
        await fill(library)
        await library.index.clear()
        assert await library.index.vector_facts() is None
        assert await library.index.vector_bytes() == {}
        await library.indexer.update()
        assert await found(library, "грядка и куст") == ["garden.mp3"], "by its words"

    run(test)
