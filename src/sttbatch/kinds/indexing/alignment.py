"""Gives the words of an edited text the times of the transcript that it was made from."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec.structs import replace

from sttbatch.core.models import Segment, Word
from sttbatch.kinds.indexing.words import Language

_ANCHOR_WORDS = 3
"""So many words that occur once in both texts are the same words."""


def with_times(
    edited: Sequence[Segment], original: Sequence[Segment], language: Language
) -> list[Segment]:
    """`edited` segments with the times of their words in `original`.

    Where it is known when an edited segment begins and ends, they are within it.
    """
    spoken = list(_spoken(original, language))
    found = [list(language.words(segment.text)) for segment in edited]
    written = [word.exact for words in found for *_, word in words]
    times = _times(written, [word for word, _ in spoken], [at for _, at in spoken])
    timed = []
    ends = list(accumulate(map(len, found)))
    last_s = max((segment.end_s for segment in original), default=0.0)
    for segment, words, end in zip(edited, found, ends, strict=True):
        begin = end - len(words)
        start_s = times[begin] if begin < len(times) else last_s
        until_s = times[end] if end < len(times) else last_s
        placed = tuple(
            Word(segment.text[a:b], at, at)
            for (a, b, _), at in zip(words, times[begin:end], strict=True)
        )
        found_here = replace(segment, start_s=start_s, end_s=until_s, words=placed)
        timed.append(_within(segment, found_here) if segment.end_s else found_here)
    return timed


def _within(known: Segment, found: Segment) -> Segment:
    """What was found of a segment of which is known when it begins and ends."""

    def within(at: float) -> float:
        return min(max(at, known.start_s), known.end_s)

    words = tuple(Word(each.text, within(each.start_s), within(each.end_s)) for each in found.words)
    return replace(found, start_s=known.start_s, end_s=within(found.end_s), words=words)


def _spoken(segments: Sequence[Segment], language: Language) -> Iterator[tuple[str, float]]:
    """The words of a transcript and when they begin, or when their segments do."""
    for segment in sorted(segments, key=lambda each: each.start_s):
        if segment.words:
            for word in segment.words:
                yield from ((each.exact, word.start_s) for *_, each in language.words(word.text))
        else:
            yield from ((each.exact, segment.start_s) for *_, each in language.words(segment.text))


def _times(written: Sequence[str], spoken: Sequence[str], times: Sequence[float]) -> list[float]:
    """When each of the `written` words is spoken, or the last one before it that was found."""
    found: dict[int, int] = {}
    anchors = [(-1, -1), *_anchors(written, spoken), (len(written), len(spoken))]
    for (here, there), (next_here, next_there) in pairwise(anchors):
        found[here] = there
        # As many words as before, some of them corrected; or else those at the beginning.
        same = next_here - here == next_there - there
        for at in range(1, next_here - here):
            if there + at >= next_there:
                break
            if not same and written[here + at] != spoken[there + at]:
                break
            found[here + at] = there + at
    placed: list[float] = []
    latest = times[0] if times else 0.0
    for at in range(len(written)):
        latest = times[found[at]] if at in found else latest
        placed.append(latest)
    return placed


def _anchors(written: Sequence[str], spoken: Sequence[str]) -> list[tuple[int, int]]:
    """Places of words that both texts have once, in the order of both."""
    here, there = _unique(written), _unique(spoken)
    pairs = sorted((at, there[words]) for words, at in here.items() if words in there)
    return _rising(pairs)


def _unique(words: Sequence[str]) -> dict[tuple[str, ...], int]:
    runs = [tuple(words[at : at + _ANCHOR_WORDS]) for at in range(len(words) - _ANCHOR_WORDS + 1)]
    counts = Counter(runs)
    return {run: at for at, run in enumerate(runs) if counts[run] == 1}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of `pairs` whose second numbers rise too (longest increasing subsequence)."""
    tops: list[int] = []
    chains: list[int] = []
    before: list[int | None] = []
    for index, (_, second) in enumerate(pairs):
        length = bisect_left(tops, second)
        before.append(chains[length - 1] if length else None)
        tops[length : length + 1] = [second]
        chains[length : length + 1] = [index]
    chain: list[tuple[int, int]] = []
    at = chains[-1] if chains else None
    while at is not None:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]
