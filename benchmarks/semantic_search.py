"""What search by meaning costs: answers over 100,000 passages, and the vectors of an hour.

    python benchmarks/semantic_search.py [--passages 100000] [--queries 40] [--url URL]

Indexes transcripts of an hour each, of twenty different ones with words that are as frequent as in
a language, and gives them vectors of chance, as long as those of the model that works offline: what
they say changes no time. Asks for some words as `sttbatch search --semantic -n 20` does, in a
process that has the model in memory, and three times as processes of their own. Beside it, CPU
seconds of that model for an hour of speech. `--url` is that of an empty PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from benchmarks.search import HITS, HOUR_S, Speech
from sttbatch.composition.meaning import LocalEmbedder
from sttbatch.composition.searching import opened_index, transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import opened_stores
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.file_records import FileRecord
from sttbatch.core.search import IndexedTranscript, VectorFacts
from sttbatch.external.local.sentence_encoder import DIMENSION
from sttbatch.kinds.indexing.indexer import INDEX_VERSION
from sttbatch.kinds.indexing.meaning import PASSAGES_JOINED, VECTORS_VERSION, joined_texts
from sttbatch.kinds.indexing.meaning_search import MeaningSearch
from sttbatch.kinds.indexing.passages import passages_of
from sttbatch.kinds.indexing.query import free_query
from sttbatch.kinds.indexing.searching import Search, SearchOptions
from sttbatch.kinds.indexing.vectors import normalized
from sttbatch.kinds.indexing.words import Language

ANSWER_BOUND_S = 0.3
DIFFERENT = 20


async def fill(settings: Settings, speech: Speech, passages: int) -> tuple[int, list[str]]:
    """Index so many passages with vectors; returns the hours, and the texts of one."""
    russian, chance = Language("ru"), np.random.default_rng(1)
    made = [passages_of(speech.hour(timed=False).segments, russian) for _ in range(DIFFERENT)]
    joined = [-(-len(each) // PASSAGES_JOINED) for each in made]
    facts = VectorFacts(LocalEmbedder().model, VECTORS_VERSION, DIMENSION)
    number = count = 0
    with opened_stores(settings) as stores, opened_index(settings) as index:
        source = transcript_source(settings, stores.database)
        while count < passages:
            sha256 = hashlib.sha256(b"%d" % number).hexdigest()
            key = f"transcript:{sha256}"
            # What is indexed is not read again.
            await stores.results.put(key, CacheValue(b"{}"), "m", sha256)
            path = f"/recordings/{number:06}.mp3".encode()
            await stores.files.remember({path: FileRecord(1, 1, 1, 1, 1, sha256)})
            number += 1
            count += joined[number % DIFFERENT]
        for at, stored in enumerate(await source.stored()):
            indexed = IndexedTranscript(
                stored.key, stored.file_sha256, stored.created_at, INDEX_VERSION, language="ru"
            )
            await index.put([(indexed, made[at % DIFFERENT])])
        places = await index.transcripts()
        for at, (place, indexed) in enumerate(places.items()):
            size = (-(-len(made[at % DIFFERENT]) // PASSAGES_JOINED), DIMENSION)
            vectors = chance.standard_normal(size, np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            await index.put_vectors(place, indexed.key, facts, vectors.tobytes())
    return number, joined_texts([each.data for each in made[0]])


async def ask(
    settings: Settings, embedder: LocalEmbedder, queries: list[str]
) -> list[tuple[float, float]]:
    """Seconds and CPU seconds of each query, after a first one."""
    spent = []
    with opened_stores(settings) as stores, opened_index(settings) as index:
        source = transcript_source(settings, stores.database)
        for query in [queries[0], *queries]:
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            vector = normalized((await embedder.embed_query(query)).vectors)
            search = Search(index, source, free_query(query), SearchOptions())
            count = 0
            async for _ in MeaningSearch(index, search, vector).hits():
                count += 1
                if count == HITS:
                    break
            spent.append((time.perf_counter() - begun_s, time.process_time() - begun_cpu_s))
    return spent[1:]


def process_s(settings: Settings, query: str) -> float:
    """Seconds of a process that answers a query."""
    environment = os.environ | {"STTBATCH_DATA_DIR": str(settings.data_dir)}
    if settings.database_url is not None:
        environment["STTBATCH_DATABASE_URL"] = settings.database_url
    command = [sys.executable, "-m", "sttbatch", "search", "--semantic", query]
    begun_s = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="semantic-") as name:
        settings = Settings(data_dir=str(Path(name) / "data"), database_url=options.url)
        speech = Speech()
        hours, texts = asyncio.run(fill(settings, speech, options.passages))
        queries = [" ".join(speech.words(2 + at % 5)) for at in range(options.queries)]
        embedder = LocalEmbedder()
        # A search has none of the transcripts in memory, so that collecting garbage sees none.
        gc.freeze()
        answers = asyncio.run(ask(settings, embedder, queries))
        processes = [process_s(settings, query) for query in queries[:3]]
        begun_s = time.process_time()
        asyncio.run(embedder.embed(IndexedTranscript("", "", 0.0, ""), texts))
        hour_s = time.process_time() - begun_s
    spent, cpu = (sorted(each) for each in zip(*answers, strict=True))
    p95, cpu_p95 = (statistics.quantiles(each, n=20)[-1] for each in (spent, cpu))
    verdict = "met" if p95 <= ANSWER_BOUND_S else "not met"
    print(f"\nSearch by meaning\n{machine()}, {os.cpu_count()} cores")
    print(f"{options.passages} passages of {hours} hours, {len(queries)} queries of 2 to 6 words")
    print(f"answers: p50 {statistics.median(spent):.3f} s, p95 {p95:.3f} s, max {spent[-1]:.3f} s")
    print(f"(bound of p95 {ANSWER_BOUND_S} s: {verdict}; CPU time: p95 {cpu_p95:.3f} s)")
    print(f"a process of its own: {statistics.median(processes):.2f} s")
    print(f"vectors of {HOUR_S / 3600:g} hour of speech: {hour_s:.1f} CPU s")


if __name__ == "__main__":
    main()
