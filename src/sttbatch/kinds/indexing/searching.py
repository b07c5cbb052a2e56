"""Searches the index: passages by their words, hits by their exact places."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from sttbatch.core.ports import SearchIndex, TranscriptSource
from sttbatch.core.search import PASSAGE_LIMIT, IndexedTranscript
from sttbatch.kinds.indexing.matching import Match, Matcher
from sttbatch.kinds.indexing.passages import (
    OVERLAP_WORDS,
    StoredPassage,
    Utterance,
    decoded_passage,
)
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.words import Language

_SELECTED_FIRST = 256
_SELECTED_LIMIT = 1 << 16
_READ_FIRST = 16
_READ_LIMIT = 512


class SearchOptions(Struct, frozen=True):
    """Where to search, and what to show.

    Attributes:
        below: paths of recordings and folders, in every spelling; None: everywhere.
        since: transcripts that were stored after this time, in seconds since the epoch.
        speaker: only what this speaker said.
        context: number of segments before and after each hit.
    """

    below: tuple[bytes, ...] | None = None
    since: float | None = None
    speaker: str | None = None
    context: int = 0


class MarkedUtterance(Struct, frozen=True):
    """A segment, or a part of a long one, with the found words: where they begin and end."""

    utterance: Utterance
    marks: tuple[tuple[int, int], ...] = ()


class Hit(Struct, frozen=True):
    """A place in a recording.

    Attributes:
        path: a file that has its content; None: none is known.
        score: how well it fits a search by meaning; only its order says something.
        passage: what was found by its meaning, of which the utterances are a part.
    """

    transcript: IndexedTranscript
    path: bytes | None
    second: float
    utterances: tuple[MarkedUtterance, ...]
    before: tuple[Utterance, ...] = ()
    after: tuple[Utterance, ...] = ()
    score: float | None = None
    passage: tuple[Utterance, ...] = ()


@dataclass(slots=True, eq=False)
class Search:
    """One search; raises StateError if a store cannot be used."""

    index: SearchIndex
    source: TranscriptSource
    query: Query
    options: SearchOptions
    _languages: dict[str | None, Language] = field(default_factory=dict, init=False)
    _matchers: dict[str | None, Matcher] = field(default_factory=dict, init=False)
    _paths: dict[str, bytes | None] = field(default_factory=dict, init=False)

    async def hits(self) -> AsyncIterator[Hit]:
        """The hits in the newest transcript first, in each by time."""
        transcripts = await self.transcripts()
        if not transcripts:
            return
        names = {each.language for each in transcripts.values()}
        self._languages = {name: Language(name) for name in names}
        # Others may speak between the words of one speaker.
        in_sequence = self.options.speaker is None
        languages = self._languages.values()
        selection = self.query.selection(languages, in_sequence=in_sequence)
        if not selection:
            return
        after, limit, read = min(transcripts) * PASSAGE_LIMIT - 1, _SELECTED_FIRST, _READ_FIRST
        end = (max(transcripts) + 1) * PASSAGE_LIMIT
        while True:
            numbers = await self.index.select(selection, after, limit)
            wanted = [each for each in numbers if each // PASSAGE_LIMIT in transcripts]
            while wanted:
                part, wanted = wanted[:read], wanted[read:]
                async for hit in self._hits_in(part, transcripts):
                    yield hit
                read = min(2 * read, _READ_LIMIT)
            if len(numbers) < limit or numbers[-1] >= end:
                return
            after, limit = numbers[-1], min(4 * limit, _SELECTED_LIMIT)

    async def transcripts(self) -> Mapping[int, IndexedTranscript]:
        """Those to search, by place."""
        transcripts = await self.index.transcripts()
        since, below = self.options.since, self.options.below
        if since is not None:
            transcripts = {at: each for at, each in transcripts.items() if each.created_at >= since}
        if below is not None:
            paths: dict[str, list[bytes]] = {}
            for path, sha256 in await self.source.contents():
                if any(is_below(path, folder) for folder in below):
                    paths.setdefault(sha256, []).append(path)
            self._paths = {sha256: _present(found) for sha256, found in paths.items()}
            transcripts = {
                at: each for at, each in transcripts.items() if each.file_sha256 in paths
            }
        return transcripts

    async def _hits_in(
        self, numbers: Sequence[int], transcripts: Mapping[int, IndexedTranscript]
    ) -> AsyncIterator[Hit]:
        reach = 1 if self.query.longest <= OVERLAP_WORDS else 2
        needed = sorted({near for each in numbers for near in range(each, each + reach + 1)})
        data = await self.index.passages(needed)
        passages: dict[int, StoredPassage] = {}

        def passage(number: int) -> StoredPassage | None:
            if number not in passages and number in data:
                passages[number] = decoded_passage(data[number])
            return passages.get(number)

        for number in numbers:
            # It may have been removed since it was selected.
            if (own := passage(number)) is None:
                continue
            transcript = transcripts[number // PASSAGE_LIMIT]
            matcher = self._matcher(transcript.language)
            window = own.utterances
            if own.overlap:
                near = [passage(number + at) for at in range(1, reach + 1)]
                following = [each for part in near if part for each in part.utterances]
                window += tuple(following[: max(own.overlap, matcher.reach(following))])
            for match in matcher.matches(window, len(own.utterances), self.options.speaker):
                yield await self._hit(transcript, number, window, match)

    def _matcher(self, name: str | None) -> Matcher:
        if name not in self._matchers:
            self._matchers[name] = Matcher(self.query, self._languages[name])
        return self._matchers[name]

    async def _hit(
        self, transcript: IndexedTranscript, number: int, window: Sequence[Utterance], match: Match
    ) -> Hit:
        utterances = tuple(
            MarkedUtterance(
                window[at],
                tuple((mark.begin, mark.end) for mark in match.marks if mark.utterance == at),
            )
            for at in range(match.first, match.last + 1)
        )
        head = match.marks[0]
        before, after = await self.around(number, match.first, match.last)
        return Hit(
            transcript,
            await self.path(transcript.file_sha256),
            window[head.utterance].second_at(head.begin),
            utterances,
            before,
            after,
        )

    async def around(
        self, number: int, first: int, last: int, passages: int = 2
    ) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
        """The utterances before `first` and after `last`, counted from a passage on.

        `last` is in one of so many `passages`.
        """
        wanted = self.options.context
        if not wanted:
            return (), ()
        # Each has at least one utterance.
        reach = range(number - wanted, number + passages + wanted)
        place = number // PASSAGE_LIMIT
        data = await self.index.passages([at for at in reach if at // PASSAGE_LIMIT == place])
        known = {at: decoded_passage(data[at]).utterances for at in sorted(data)}
        earlier = sum(len(utterances) for at, utterances in known.items() if at < number)
        every = [utterance for utterances in known.values() for utterance in utterances]
        first, last = earlier + first, earlier + last
        before = every[max(0, first - wanted) : first]
        return tuple(before), tuple(every[last + 1 : last + 1 + wanted])

    async def path(self, sha256: str) -> bytes | None:
        """A file that has this content; None: none is known."""
        if sha256 not in self._paths:
            found = await self.source.paths_by_content([sha256])
            self._paths[sha256] = _present(found.get(sha256, ()))
        return self._paths[sha256]


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether it is that folder, or in it at any depth."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _present(paths: Sequence[bytes]) -> bytes | None:
    """The first of `paths` that exists, or else the first."""
    ordered = sorted(paths)
    return next(filter(_exists, ordered), ordered[0] if ordered else None)


_exists: Callable[[bytes], bool] = os.path.lexists
