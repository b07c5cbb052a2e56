"""ResultStore, ChunkIndex, FileIndex and OutputStore, over every database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sttbatch.core.cache_entries import AccessCount, CacheValue
from sttbatch.core.file_records import (
    FileRecord,
    OutputDigests,
    OutputOwner,
    OutputRecipe,
    OutputState,
    RecordedOutput,
    RecordingIdentity,
)
from sttbatch.core.models import ChunkSpan, CutPoint
from sttbatch.core.ports import (
    ChunkIndex,
    FileIndex,
    OutputStore,
    ResultStore,
    SpeakerNames,
    TranscriptSource,
)
from sttbatch.core.work import IndexedSpan
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.results import SqlResultStore
from sttbatch.database.search_source import SqlTranscriptSource
from sttbatch.database.speaker_names import SqlSpeakerNames
from tests.database.backends import Backend

SHA, OTHER = "ab" * 32, "cd" * 32
RECORD = FileRecord(10, 1, 2, 3, 4, SHA)
SOURCE, RIVAL = b"/talks/talk.mp3", b"/talks/talk.wav"
TXT, JSON = b"/talks/talk.txt", b"/talks/talk.json"


class Clock:
    """Seconds since the epoch; it stands until it is moved."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Stores:
    results: ResultStore
    spans: ChunkIndex
    files: FileIndex
    outputs: OutputStore
    names: SpeakerNames
    source: TranscriptSource
    clock: Clock


Run = Callable[[Callable[[Stores], Awaitable[None]]], None]


@pytest.fixture
def run(backend: Backend, tmp_path: Path) -> Run:
    """Runs a test over an empty ledger."""

    def run(test: Callable[[Stores], Awaitable[None]]) -> None:
        async def with_stores() -> None:
            clock = Clock()
            with contextlib.closing(backend.open_ledger(tmp_path, clock)) as database:
                results = SqlResultStore(database)
                spans = SqlChunkIndex(database, results)
                files, outputs = SqlFileIndex(database), SqlOutputStore(database)
                names, source = SqlSpeakerNames(database), SqlTranscriptSource(database)
                await test(Stores(results, spans, files, outputs, names, source, clock))

        asyncio.run(with_stores())

    return run


def made_of(sha256: str, model: str = "whisper") -> tuple[str, str]:
    return model, sha256


def span(start: int, end: int) -> ChunkSpan:
    return ChunkSpan(0, CutPoint(start), CutPoint(end, True), start, end, ((0.0, start + 0.5),))


def test_a_value_comes_back_until_it_expires(run: Run) -> None:
    async def test(stores: Stores) -> None:
        results, clock = stores.results, stores.clock
        await results.put("k", CacheValue(b"first"), *made_of(SHA))
        await results.put("k", CacheValue(b"\0value", clock.now + 10), *made_of(SHA))
        assert await results.get_many(["k", "no"]) == {"k": CacheValue(b"\0value", clock.now + 10)}
        assert await results.present(["k", "no"]) == {"k"}
        clock.now += 10
        assert await results.get_many(["k"]) == {}
        assert await results.present(["k"]) == set()
        assert (await results.usage()).entries == 1
        assert await results.delete_expired() == 1
        assert (await results.usage()).entries == 0

    run(test)


def test_each_way_of_removing_says_how_many_there_were(run: Run) -> None:
    async def test(stores: Stores) -> None:
        results = stores.results
        for key in ("chunk:1", "chunk:2", "audit:1", "transcript:1"):
            model = "small" if key == "audit:1" else "whisper"
            await results.put(key, CacheValue(b"v"), *made_of(SHA, model))
        assert await results.delete(["chunk:1", "absent"]) == 1
        assert await results.delete_matching("CHUNK:*") == 0
        assert await results.delete_matching("chunk:[0-2]") == 1
        assert await results.delete_model("small") == ("audit:1",)
        assert await results.clear() == 1
        assert await results.integrity() == ()

    run(test)


def test_reads_are_counted_and_their_recordings_linked(run: Run) -> None:
    async def test(stores: Stores) -> None:
        results = stores.results
        for key in ("chunk:1", "transcript:1"):
            await results.put(key, CacheValue(b"v"), *made_of(SHA))
        reads = [AccessCount("chunk:1", 3, 1), AccessCount("absent", 9, 1)]
        for _ in range(2):
            await results.count_reads(reads, [(OTHER, "chunk:1"), (OTHER, "absent")])
        assert await results.most_used(5) == (("chunk:1", 6),)
        assert await results.keys_of([OTHER]) == ("chunk:1",)
        assert await results.keys_of([OTHER, SHA]) == ("transcript:1", "chunk:1")

    run(test)


def test_a_recording_is_erased_from_every_table_and_no_other_is(run: Run) -> None:
    async def test(stores: Stores) -> None:
        for sha256, path, key in ((SHA, SOURCE, "chunk:1"), (OTHER, RIVAL, "chunk:2")):
            await stores.results.put(key, CacheValue(b"v"), *made_of(sha256))
            await stores.spans.remember(IndexedSpan(sha256, 0, "request", span(0, 9), key))
            await stores.files.remember({path: RECORD._replace(sha256=sha256)})
            await stores.outputs.claim(path, [path + b".txt"], {path + b".txt": ("txt", "aa")})
        erased = await stores.results.erase_recording(RecordingIdentity((SHA,), (), ()))
        assert (erased.keys, erased.entries, erased.running_jobs) == (("chunk:1",), 1, 0)
        assert {table: count for table, count in erased.rows.items() if count} == {
            "cuts": 1,
            "outputs": 1,
            "files": 1,
        }
        assert await stores.files.records([SOURCE, RIVAL]) == {RIVAL: RECORD._replace(sha256=OTHER)}
        assert await stores.outputs.owners_below([b"/talks"]) == [
            OutputOwner(RIVAL + b".txt", RIVAL, "txt")
        ]
        assert len(await stores.spans.results(OTHER, 0, "request")) == 1
        assert await stores.results.present(["chunk:1", "chunk:2"]) == {"chunk:2"}

    run(test)


def test_spans_are_found_with_their_answers_only(run: Run) -> None:
    async def test(stores: Stores) -> None:
        spans, results = stores.spans, stores.results
        for number, (start, end) in enumerate([(0, 100), (50, 150), (200, 300)]):
            indexed = IndexedSpan(SHA, 0, "request", span(start, end), f"chunk:{number}")
            await spans.remember(indexed)
            await spans.remember(indexed)
        for number in range(2):
            await results.put(f"chunk:{number}", CacheValue(b"%d" % number), *made_of(SHA))
        stored = await spans.results(SHA, 0, "request")
        assert [(each.span, each.chunk_key, each.data) for each in stored] == [
            (span(0, 100), "chunk:0", b"0"),
            (span(50, 150), "chunk:1", b"1"),
        ]
        assert await spans.covered_s([SHA, OTHER], 0, "request") == {SHA: 150.0}
        assert await spans.results(SHA, 1, "request") == []

    run(test)


def test_the_file_index_remembers_the_latest_hash(run: Run) -> None:
    async def test(stores: Stores) -> None:
        await stores.files.remember({b"/a\xff": RECORD})
        await stores.files.remember({b"/a\xff": RECORD._replace(inode=1 << 62)})
        found = await stores.files.records([b"/%d" % n for n in range(1200)] + [b"/a\xff"])
        assert found == {b"/a\xff": RECORD._replace(inode=1 << 62)}
        assert await stores.files.paths_of([SHA, OTHER]) == [b"/a\xff"]
        assert not await stores.files.was_unreadable(["unread:1"])

    run(test)


def test_a_name_that_is_owned_is_given_to_another_only_once_it_is_abandoned(
    run: Run,
) -> None:
    async def test(stores: Stores) -> None:
        outputs = stores.outputs
        assert await outputs.claim(SOURCE, [TXT, JSON], {TXT: ("txt", "aa")}) == ()
        (owner,) = await outputs.claim(RIVAL, [TXT, JSON], {JSON: ("json", "bb")})
        assert owner == OutputDigests(TXT, SOURCE, ("aa",))
        assert await outputs.digests([TXT, JSON]) == [owner], "nothing was changed"
        # Its owner wrote again since the disk was looked at.
        await outputs.claim(SOURCE, [TXT, JSON], {TXT: ("txt", "cc")})
        (newer,) = await outputs.claim(
            RIVAL, [TXT, JSON], {JSON: ("json", "bb")}, frozenset({owner})
        )
        assert newer.sha256s == ("aa", "cc")
        taken = frozenset({owner, newer})
        assert await outputs.claim(RIVAL, [TXT, JSON], {JSON: ("json", "bb")}, taken) == ()
        assert await outputs.digests([TXT, JSON]) == [OutputDigests(JSON, RIVAL, ("bb",))]

    run(test)


def test_until_a_write_is_recorded_both_the_old_and_the_new_file_are_ours(run: Run) -> None:
    async def test(stores: Stores) -> None:
        outputs = stores.outputs
        for sha256 in ("aa", "bb"):
            await outputs.claim(SOURCE, [TXT], {TXT: ("txt", sha256)})
        assert (await outputs.digests([TXT]))[0].sha256s == ("aa", "bb")
        await outputs.record(SOURCE, {TXT: ("txt", "aa")})
        assert (await outputs.digests([TXT]))[0].sha256s == ("bb", "aa"), "another run meant bb"
        await outputs.record(SOURCE, {TXT: ("txt", "aa")})
        assert (await outputs.digests([TXT]))[0].sha256s == ("aa",)
        await outputs.record(RIVAL, {TXT: ("txt", "cc")})
        assert (await outputs.digests([TXT]))[0].sha256s == ("aa",)

    run(test)


def test_states_are_those_that_were_remembered_last(run: Run) -> None:
    async def test(stores: Stores) -> None:
        outputs = stores.outputs
        await outputs.claim(SOURCE, [TXT], {TXT: ("txt", "aa")})
        assert await outputs.states([SOURCE]) == [OutputState(TXT, SOURCE, "txt", None, None, None)]
        for audio_s in (1.0, 1.0, 2.0):
            state = OutputState(TXT, SOURCE, "txt", "origin", "10 1 1 1", audio_s)
            await outputs.record(SOURCE, {}, [state, state._replace(source=RIVAL)])
            assert await outputs.states([SOURCE, RIVAL]) == [state]

    run(test)


def test_outputs_are_known_with_what_they_were_made_of(run: Run) -> None:
    recipe = OutputRecipe("transcript:1", "{}", "a => b")

    async def test(stores: Stores) -> None:
        outputs, source = stores.outputs, stores.source
        await outputs.claim(SOURCE, [TXT, JSON], {TXT: ("txt", "aa"), JSON: ("json", "bb")})
        state = OutputState(TXT, SOURCE, "txt", "origin", "10 1 1 1", 1.0)
        await outputs.record(SOURCE, {}, [state], recipe)
        assert await outputs.outputs_of([SOURCE]) == [
            RecordedOutput(JSON, SOURCE, "json"),
            RecordedOutput(TXT, SOURCE, "txt", recipe),
        ]
        assert await source.rules() == {"transcript:1": "a => b"}
        # Without rules from now on.
        await outputs.record(SOURCE, {}, [state], recipe._replace(rules="", text="[]"))
        assert await source.rules() == {}
        await stores.results.erase_recording(RecordingIdentity((SHA,), (SOURCE,), ()))
        assert await outputs.outputs_of([SOURCE]) == []

    run(test)


def test_names_belong_to_a_content(run: Run) -> None:
    async def test(stores: Stores) -> None:
        names = stores.names
        await names.rename(SHA, {"1": "Anna", "2": "Oleg"})
        await names.rename(SHA, {"1": "Maria", "2": None, "3": None})
        await names.rename(OTHER, {"1": "Ivan"})
        assert await names.of(SHA) == {"1": "Maria"}
        assert await stores.source.speaker_names() == {SHA: {"1": "Maria"}, OTHER: {"1": "Ivan"}}
        erased = await stores.results.erase_recording(RecordingIdentity((SHA,), (), ()))
        assert erased.rows["speaker_names"] == 1
        assert await names.all() == {OTHER: {"1": "Ivan"}}

    run(test)
