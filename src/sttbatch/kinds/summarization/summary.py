"""Summary: what a transcript says in short, and what could not be summarized."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

POINTS, DECISIONS, ACTIONS, QUESTIONS = SECTIONS = ("points", "decisions", "actions", "questions")


class Style(StrEnum):
    """How much of a transcript its summary has."""

    BRIEF = "brief"
    MINUTES = "minutes"
    ACTIONS = "actions"

    @property
    def sections(self) -> tuple[str, ...]:
        return (DECISIONS, ACTIONS) if self is Style.ACTIONS else SECTIONS


class SummaryOptions(Struct, frozen=True):
    """What a summary is to be.

    Attributes:
        context_tokens: how many tokens the model reads and writes at once.
        language: ISO 639-1 code of the summary; None: that of the transcript.
        transcript_language: None: it is unknown.
        instruction: in place of what sttbatch asks for, not of the form of the answer.
        terms: names and terms as they are to be spelled, which count as said.
    """

    model: str
    context_tokens: int
    style: Style = Style.BRIEF
    language: str | None = None
    transcript_language: str | None = None
    instruction: str | None = None
    terms: tuple[str, ...] = ()

    @property
    def answer_language(self) -> str | None:
        """The language of the summary; None: that of the transcript, which is unknown."""
        return self.language or self.transcript_language

    @property
    def is_translated(self) -> bool:
        """Whether the summary may be in another language than the transcript."""
        return self.language not in {None, self.transcript_language}


class Statement(Struct, frozen=True):
    """One statement of a summary.

    Attributes:
        section: one of SECTIONS.
        text: of an action, what is to be done.
        segments: ids of the segments that say it, ascending.
        time_s: when the first of them begins.
        who, when: of an action; None: nobody said it.
    """

    section: str
    text: str
    segments: tuple[int, ...]
    time_s: float
    who: str | None = None
    when: str | None = None


class LostWindow(Struct, frozen=True):
    """A part of a transcript, in seconds, that something is missing of, and why.

    `is_hindered`: for a reason that is not its own, such as a rate limit.
    """

    start_s: float
    end_s: float
    reason: str
    is_hindered: bool = False


class Summary(Struct, frozen=True):
    """The summary of one transcript.

    Attributes:
        title: empty if there is none that can be trusted.
        language: ISO 639-1 code; None: unknown.
        statements: by section, then by time.
        left_out: how many statements of the model failed each check (`checks.Reason`) twice.
        lost: parts of the transcript that are not, or not wholly, in the summary.
        unmerged: parts whose statements are in the summary as they were found, as the model did not
            merge them.
    """

    title: str
    style: Style
    language: str | None
    statements: tuple[Statement, ...] = ()
    left_out: Mapping[str, int] = {}
    lost: tuple[LostWindow, ...] = ()
    unmerged: tuple[LostWindow, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not self.lost and not self.unmerged

    def of(self, section: str) -> tuple[Statement, ...]:
        """The statements of a section, by time."""
        return tuple(statement for statement in self.statements if statement.section == section)
