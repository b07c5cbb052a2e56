"""What search costs: indexing beside the run that it is a part of, answers, the size of the index.

    python benchmarks/search.py [--hours 1000] [--queries 300] [--run-hours 4] [--url URL]

Writes so many transcripts of an hour each into a ledger, of words that are as frequent as in a
language (Zipf's law; 2,450 different ones an hour), indexes them as a run does, and asks for rare
and frequent words, two words, phrases and beginnings, each time with the check of what is missing,
as `sttbatch search -n 20` does without the start of its process. Beside it, CPU seconds of a run
over recordings of an hour each, against a stand-in endpoint that answers at once. `--url` is that
of an empty PostgreSQL.
"""

# ruff: noqa: RUF001 - Russian endings

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine, measure
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, command, fresh_state
from benchmarks.stand_in import stand_in
from sttbatch.caching.result_cache import encode_transcript
from sttbatch.composition.searching import indexer_of, opened_index, search, transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import opened_stores
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.file_records import FileRecord
from sttbatch.core.models import Segment, Transcript, Word
from sttbatch.kinds.indexing.query import parsed
from sttbatch.kinds.indexing.searching import SearchOptions

INDEX_BOUND = 0.01
ANSWER_BOUND_S = 0.2
HITS = 20
HOUR_S = 3600.0
WORD_S = 0.4
SEGMENT_WORDS = 14

_SYLLABLES = [a + b for a in "бвгдзклмнпрст" for b in "аеиоуя"]
_ENDINGS = ["", "а", "у", "ом", "е", "ы", "ов", "ам", "ами", "ах", "ый", "ого", "ая", "ую", "ить"]
_STEMS = 8_000


class Speech:
    """Texts of made words."""

    def __init__(self) -> None:
        chance = random.Random(1)  # noqa: S311 - texts, not secrets
        stems = {
            "".join(chance.choices(_SYLLABLES, k=chance.choice([1, 2, 2, 3, 3, 4]))) + "к"
            for _ in range(2 * _STEMS)
        }
        self._forms = [
            stem + ending
            for stem in sorted(stems, key=len)[:_STEMS]
            for ending in chance.sample(_ENDINGS, 5)
        ]
        ranks = range(1, len(self._forms) + 1)
        self._cumulated = list(itertools.accumulate((rank + 3) ** -1.2 for rank in ranks))
        self._chance = chance

    def words(self, count: int) -> list[str]:
        return self._chance.choices(self._forms, cum_weights=self._cumulated, k=count)

    def hour(self, *, timed: bool) -> Transcript:
        segments = []
        for number in range(int(HOUR_S / WORD_S / SEGMENT_WORDS)):
            texts = self.words(SEGMENT_WORDS)
            start_s = number * SEGMENT_WORDS * WORD_S
            words = tuple(
                Word(text, start_s + at * WORD_S, start_s + (at + 1) * WORD_S)
                for at, text in enumerate(texts)
            )
            end_s = start_s + SEGMENT_WORDS * WORD_S
            text = " ".join(texts).capitalize() + "."
            segments.append(Segment(text, start_s, end_s, words if timed else ()))
        return Transcript(HOUR_S, "ru", tuple(segments), ())

    def queries(self, transcripts: Sequence[Transcript], count: int) -> list[str]:
        """Half of them are in a transcript, the others may be."""
        made = []
        for number in range(count):
            segment = self._chance.choice(self._chance.choice(transcripts).segments)
            said = segment.text.lower().rstrip(".").split()
            at = self._chance.randrange(len(said) - 3)
            made.append(
                [
                    said[at],
                    f'"{said[at]} {said[at + 1]}"',
                    f"{said[0]} {said[-1]}",
                    f'"{" ".join(said[at : at + 3])}"',
                    f"{said[at][:4]}*",
                    " ".join(self.words(2)),
                    f"{said[at]} -{self._forms[200]}",
                    f'"{" ".join(self.words(2))}"',
                ][number % 8]
            )
        return made


async def fill(
    settings: Settings, speech: Speech, hours: int
) -> tuple[list[Transcript], float, int]:
    """Store so many transcripts and index them, as a run does; every fourth has times of words.

    Returns some of them, CPU seconds of indexing, and the size of the index.
    """
    sample, spent_s = [], 0.0
    with opened_stores(settings) as stores, opened_index(settings) as index:
        source, indexer = transcript_source(settings, stores.database), indexer_of(stores, index)
        for number in range(hours):
            transcript = speech.hour(timed=number % 4 == 0)
            sha256 = hashlib.sha256(b"%d" % number).hexdigest()
            value = CacheValue(encode_transcript(transcript))
            await stores.results.put(f"transcript:{sha256}", value, "m", sha256)
            path = f"/recordings/{number:06}.mp3".encode()
            await stores.files.remember({path: FileRecord(1, 1, 1, 1, 1, sha256)})
            begun_s = time.process_time()
            for stored in await source.stored_as([f"transcript:{sha256}"]):
                await indexer.add([(stored, transcript)])
            spent_s += time.process_time() - begun_s
            if number % 20 == 0:
                sample.append(transcript)
                # A run holds none of them, so that collecting garbage does not look at them.
                gc.freeze()
        return sample, spent_s, await index.size_bytes()


async def ask(settings: Settings, query: str) -> tuple[float, float, int]:
    """Seconds until the first hits are there, CPU seconds, and the number of hits."""
    begun_s, begun_cpu_s, count = time.perf_counter(), time.process_time(), 0
    async with contextlib.aclosing(search(settings, parsed(query), SearchOptions())) as hits:
        async for _ in hits:
            count += 1
            if count == HITS:
                break
    return time.perf_counter() - begun_s, time.process_time() - begun_cpu_s, count


def run_cpu_s(base: Path, hours: int) -> float:
    """CPU seconds of a run over recordings of an hour each, for one of them."""
    base.joinpath("talks").mkdir()
    for number in range(hours):
        Phrases().record(base / "talks" / f"{number}.mp3", HOUR_S + number)
    with stand_in() as endpoint:
        state = fresh_state(base)
        run = command(base / "talks", state, *UNLIMITED)
        cost, _ = measure(run, state.folder, environment=state.environment(endpoint))
    return cost.cpu_s / hours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--run-hours", type=int, default=4)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="search-") as name:
        base = Path(name)
        settings = Settings(data_dir=str(base / "data"), database_url=options.url)
        speech = Speech()
        sample, index_s, size = asyncio.run(fill(settings, speech, options.hours))
        texts = sum(len(each.text.encode()) for each in sample) / len(sample)
        queries = speech.queries(sample, options.queries)
        answers = [asyncio.run(ask(settings, query)) for query in queries]
        run_s = run_cpu_s(base, options.run_hours) if options.run_hours else 0.0
    spent, cpu = sorted(each[0] for each in answers), [each[1] for each in answers]
    p95, cpu_p95 = (statistics.quantiles(each, n=20)[-1] for each in (spent, cpu))
    an_hour_s = index_s / options.hours
    print(f"\nSearch\n{machine()}, {os.cpu_count()} cores")
    print(f"{options.hours} hours, {len(queries)} queries, {sum(not n for *_, n in answers)} empty")
    print(f"indexing: {an_hour_s * 1000:.0f} CPU ms an hour of speech")
    if run_s:
        share = an_hour_s / run_s
        verdict = "met" if share <= INDEX_BOUND else "not met"
        print(f"of the CPU time of its run: {share:.2%} (bound {INDEX_BOUND:.0%}: {verdict})")
    verdict = "met" if p95 <= ANSWER_BOUND_S else "not met"
    print(f"answers: p50 {statistics.median(spent):.3f} s, p95 {p95:.3f} s, max {spent[-1]:.3f} s")
    print(f"(bound of p95 {ANSWER_BOUND_S} s: {verdict}; CPU time: p95 {cpu_p95:.3f} s)")
    print(f"index: {size / options.hours / texts:.2f} x the text, {size / 1e6:.0f} MB")
    slow = sorted(zip(answers, queries, strict=True), reverse=True)[:5]
    print("slowest:", "; ".join(f"{query} {seconds:.2f} s" for (seconds, *_), query in slow))


if __name__ == "__main__":
    main()
