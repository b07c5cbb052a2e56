"""Checks of what a model says about a transcript: each statement must follow from what it cites."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from sttbatch.kinds.language.figures import Figure, figures_of, values_said
from sttbatch.kinds.language.json_values import one_line
from sttbatch.kinds.language.language_checks import can_be_in
from sttbatch.kinds.language.number_words import SPELLED_LANGUAGES
from sttbatch.kinds.summarization.names import compared_words, is_named, is_title_case, names_of
from sttbatch.kinds.summarization.summary import ACTIONS, Statement, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance

_CAPITALISED_NOUNS = frozenset({"de", "lb"})
"""Languages in which capitals do not tell names."""

_OFTEN_SPELLED = 12
"""Numbers up to this one may have been heard as words, of languages whose words are unknown."""

_NOBODY = frozenset({"", "-", "—", "null", "none", "n/a", "unknown"})
_SPEAKER_WORDS = frozenset({"speaker", "participant", "channel", "спикер", "участник", "канал"})
_TIME_WORDS = frozenset(
    {"until", "before", "after", "within", "during", "through", "between", "через", "перед"}
    | {"после", "позже", "позднее", "течение", "конец", "конца", "концу", "начало", "началу"}
)
_SHORTEST_OF_WHO, _SHORTEST_OF_WHEN = 3, 4
"""Letters of the shortest words that must have been said."""

_SEGMENTS_KEPT = 2048


class Reason(StrEnum):
    """Why a statement cannot be trusted."""

    FORM = "form"
    IDS = "ids"
    FIGURE = "figure"
    NAME = "name"
    LANGUAGE = "language"


class Candidate(Struct, frozen=True):
    """A statement as a model wrote it; without text or ids if it has none that can be read."""

    section: str
    text: str
    ids: tuple[int, ...]
    who: str | None = None
    when: str | None = None


class Draft(Struct, frozen=True):
    """An answer as a model wrote it."""

    title: str
    candidates: tuple[Candidate, ...]


class Fault(Struct, frozen=True):
    """What is wrong with a candidate, for counts and for the model."""

    candidate: Candidate
    reason: Reason
    message: str


class _Segment(Struct, frozen=True):
    """What a segment says: the values of its numbers, and its words with those of its speaker."""

    values: frozenset[Decimal]
    words: frozenset[str]
    has_speaker: bool


class _Evidence(Struct, frozen=True):
    """What some segments say together."""

    segments: Iterable[int]
    segment: Callable[[int], _Segment]

    def says(self, figure: Figure) -> bool:
        """Whether one of them has the figure, or all have its parts."""
        if any(figure.is_said(self.segment(each).values) for each in self.segments):
            return True
        together = frozenset[Decimal]().union(*(self.segment(n).values for n in self.segments))
        return figure.is_said(together)

    def names(self, name: str) -> bool:
        return any(is_named(name, self.segment(each).words) for each in self.segments)

    def has_speaker(self) -> bool:
        return any(self.segment(each).has_speaker for each in self.segments)


def draft_of(value: Any, sections: Sequence[str]) -> Draft | None:
    """An answer with one of the sections at least; None: it is none."""
    if not isinstance(value, dict):
        return None
    lists = {section: value[section] for section in sections if section in value}
    if not lists or not all(isinstance(each, list) for each in lists.values()):
        return None
    title = value.get("title")
    return Draft(
        one_line(title),
        tuple(_candidate(section, entry) for section, each in lists.items() for entry in each),
    )


def _candidate(section: str, entry: Any) -> Candidate:
    if not isinstance(entry, dict):
        return Candidate(section, "", ())
    ids = entry.get("ids")
    found = [_id(each) for each in ids] if isinstance(ids, list) else [None]
    known = () if None in found else tuple(sorted({each for each in found if each is not None}))
    text = one_line(entry.get("text"))
    if section != ACTIONS:
        return Candidate(section, text, known)
    return Candidate(section, text, known, _said(entry.get("who")), _said(entry.get("when")))


def _id(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value[:10])
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _said(value: Any) -> str | None:
    if isinstance(value, list):
        value = ", ".join(filter(None, map(one_line, value)))
    text = one_line(value)
    return None if text.casefold() in _NOBODY else text


class Checker:
    """Checks statements against the segments of one transcript.

    It finds ids that do not exist, figures and names that were not said, and other languages. It
    cannot find a name that begins a sentence, what somebody said only to mislead, nor a wrong
    statement made of the words that were said. In other languages than that of the transcript, and
    in those that capitalise all nouns, names are not checked.
    """

    def __init__(self, utterances: Iterable[Utterance], options: SummaryOptions) -> None:
        self._utterances: dict[int, Utterance] = {each.id: each for each in utterances}
        self._options = options
        # How a recogniser misspells them nobody can know.
        self._terms = ", ".join(options.terms)
        self._segment: Callable[[int], _Segment] = lru_cache(_SEGMENTS_KEPT)(self._segment_of)

    def utterance(self, segment: int) -> Utterance:
        return self._utterances[segment]

    def checked(
        self, candidate: Candidate, cited: Mapping[int, tuple[int, ...]]
    ) -> Statement | Fault:
        """The statement, or what is wrong with it; `cited` has the ids that it may cite."""
        if not candidate.text:
            return Fault(candidate, Reason.FORM, "it has no text")
        if not candidate.ids:
            return Fault(candidate, Reason.IDS, "it has no ids")
        if unknown := [each for each in candidate.ids if each not in cited]:
            return Fault(candidate, Reason.IDS, f"there are no {_listed(unknown)} among the ids")
        segments = tuple(sorted({each for cites in candidate.ids for each in cited[cites]}))
        evidence = _Evidence(segments, self._segment)
        faults = [
            *self._text_faults(candidate.text, evidence),
            *self._figure_faults(f"{candidate.who or ''} {candidate.when or ''}", evidence),
            *self._action_faults(candidate, evidence),
        ]
        if faults:
            return Fault(candidate, faults[0][0], "; ".join(message for _, message in faults))
        return Statement(
            candidate.section,
            candidate.text,
            segments,
            self.utterance(segments[0]).start_s,
            candidate.who,
            candidate.when,
        )

    def title_fault(self, title: str, cited: Mapping[int, tuple[int, ...]]) -> Reason | None:
        """Why a title cannot be trusted; None: it can."""
        segments = sorted({each for cites in cited.values() for each in cites})
        evidence = _Evidence(segments, self._segment)
        faults = self._text_faults(title, evidence, is_title=True)
        return faults[0][0] if faults else None

    def _text_faults(
        self, text: str, evidence: _Evidence, *, is_title: bool = False
    ) -> list[tuple[Reason, str]]:
        faults = self._figure_faults(text, evidence)
        has_capitals = is_title and self._has_title_case and is_title_case(text)
        if self._checks_names and not has_capitals:
            unsaid = [name for name in names_of(text) if not evidence.names(name)]
            if unsaid:
                message = f"nothing that it cites names {_listed(unsaid)}"
                faults.append((Reason.NAME, message))
        language = self._options.answer_language
        if language is not None and not can_be_in(language, text):
            faults.append((Reason.LANGUAGE, f"it is not in the language {language}"))
        return faults

    def _figure_faults(self, text: str, evidence: _Evidence) -> list[tuple[Reason, str]]:
        language = self._options.transcript_language
        are_words_known = language is None or language in SPELLED_LANGUAGES
        unsaid = [
            figure.spelled
            for figure in figures_of(text)
            if not evidence.says(figure)
            and (are_words_known or max(map(max, figure.meanings)) > _OFTEN_SPELLED)
        ]
        if not unsaid:
            return []
        return [(Reason.FIGURE, f"nothing that it cites has the figure {_listed(unsaid)}")]

    def _action_faults(self, candidate: Candidate, evidence: _Evidence) -> list[tuple[Reason, str]]:
        if self._options.is_translated:
            return []
        who = {
            word
            for word in compared_words(candidate.who or "")
            if len(word) >= _SHORTEST_OF_WHO
            and not (is_named(word, _SPEAKER_WORDS) and evidence.has_speaker())
        }
        when = {
            word
            for word in compared_words(candidate.when or "") - _TIME_WORDS
            if len(word) >= _SHORTEST_OF_WHEN
        }
        unsaid = sorted(word for word in who | when if not evidence.names(word))
        if not unsaid:
            return []
        return [(Reason.NAME, f"nothing that it cites says {_listed(unsaid)} of who or when")]

    @property
    def _checks_names(self) -> bool:
        options = self._options
        return not options.is_translated and options.answer_language not in _CAPITALISED_NOUNS

    @property
    def _has_title_case(self) -> bool:
        return self._options.answer_language in {None, "en"}

    def _segment_of(self, segment: int) -> _Segment:
        utterance = self.utterance(segment)
        speaker = utterance.speaker or ""
        return _Segment(
            values_said(utterance.text) | values_said(speaker) | values_said(self._terms),
            compared_words(utterance.text) | compared_words(speaker) | compared_words(self._terms),
            bool(speaker),
        )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
