"""SummaryTask: what a transcript says in short, each statement with its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.jobs import SUMMARY
from sttbatch.core.options import OutputOptions
from sttbatch.core.timestamps import timestamp
from sttbatch.kinds.indexing.words import Language
from sttbatch.kinds.language.spoken_text import SpokenText
from sttbatch.kinds.language.task import Ask, ExpectedQuestion, Shortcoming
from sttbatch.kinds.summarization.estimates import expected_questions
from sttbatch.kinds.summarization.questions import EXTRACT, MERGE, budget_of, prompt
from sttbatch.kinds.summarization.rendering import FORMATS, SummaryDocument
from sttbatch.kinds.summarization.summarizer import Summarizer
from sttbatch.kinds.summarization.summary import LostWindow, Summary, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance

_NAMED_WINDOWS = 5


class SummaryTask(Struct, frozen=True):
    """The `LanguageTask` of summaries; the formats of its outputs are such as `summary.md`.

    `settings` have no language of a transcript.
    """

    settings: SummaryOptions

    @property
    def kind(self) -> str:
        return SUMMARY

    @property
    def how(self) -> str:
        return "summarized"

    @property
    def model(self) -> str:
        return self.settings.model

    @property
    def result(self) -> type[Summary]:
        return Summary

    def options(self) -> Mapping[str, Any]:
        return {"settings": self._values()}

    def facts(self) -> Mapping[str, Any]:
        settings = self._values()
        # Of a long context no more is used than of another one.
        del settings["context_tokens"]
        budget = msgspec.to_builtins(budget_of(self.settings))
        prompts = [list(prompt(name)) for name in (EXTRACT, MERGE)]
        return {"settings": settings, "budget": budget, "prompts": prompts}

    async def run(self, text: SpokenText, ask: Ask) -> Summary:
        return await Summarizer(ask, self._of(text)).summarize(utterances_of(text))

    def left_out(self, result: Summary) -> int:
        return sum(result.left_out.values())

    def shortcoming(self, text: SpokenText, result: Summary) -> Shortcoming | None:
        incomplete = [*result.lost, *result.unmerged]
        if not incomplete:
            return None
        parts = [_named("not summarized", result.lost), _named("not merged", result.unmerged)]
        hindered = all(window.is_hindered for window in incomplete)
        return Shortcoming("; ".join(filter(None, parts)), hindered)

    def contents(
        self,
        source: str,
        text: SpokenText,
        result: Summary,
        outputs: OutputOptions,
        link: str | None = None,
    ) -> Mapping[str, Iterable[bytes]]:
        document = SummaryDocument(source, text.sha256, self.model, result)
        return {ending: FORMATS[ending.rpartition(".")[2]](document) for ending in outputs.formats}

    def expected(self, text: SpokenText) -> Sequence[ExpectedQuestion]:
        return expected_questions(utterances_of(text), self._of(text))

    def _values(self) -> dict[str, Any]:
        """The settings as they were before there were terms, unless there are some."""
        values: dict[str, Any] = msgspec.to_builtins(self.settings)
        if not self.settings.terms:
            del values["terms"]
        return values

    def _of(self, text: SpokenText) -> SummaryOptions:
        return replace(self.settings, transcript_language=_code(text.transcript.language))


def _code(name: str | None) -> str | None:
    """The code of a language, which some servers call by its name; None: it is unknown."""
    code = Language(name).code.partition("-")[0]
    return code if len(code) in {2, 3} else None


def _named(what: str, windows: Sequence[LostWindow]) -> str:
    if not windows:
        return ""
    named = [
        f"{timestamp(each.start_s)} to {timestamp(each.end_s)} ({each.reason})"
        for each in windows[:_NAMED_WINDOWS]
    ]
    more = f" and {len(windows) - _NAMED_WINDOWS} more" if len(windows) > _NAMED_WINDOWS else ""
    return f"{what}: {', '.join(named)}{more}"


def utterances_of(text: SpokenText) -> list[Utterance]:
    """The segments of a text as numbered utterances."""
    return [
        Utterance(number, segment.start_s, segment.end_s, segment.text, segment.speaker)
        for number, segment in enumerate(text.transcript.segments, 1)
    ]
