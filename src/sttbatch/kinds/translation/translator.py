"""Translator: translates lines window by window, and asks again for what cannot be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import ChunkRefused, ChunkTooLarge
from sttbatch.core.language_models import Question
from sttbatch.core.scripts import letters
from sttbatch.kinds.language.json_values import json_value
from sttbatch.kinds.language.language_checks import can_be_in
from sttbatch.kinds.language.task import Ask, ExpectedQuestion
from sttbatch.kinds.language.token_estimates import estimated_tokens
from sttbatch.kinds.language.word_forms import are_forms, words_of
from sttbatch.kinds.translation.line_checks import trusted_lines
from sttbatch.kinds.translation.windows import MOST_TOKENS, Line, windows_of

CONTEXT_LINES = 5
"""Translated lines that show the style of those before a window."""

ANSWER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
                "required": ["id", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["segments"],
    "additionalProperties": False,
}

# A translation may have twice the tokens of its source, each line has braces and an id, and a model
# may think a little although it was told not to.
_GROWTH, _TOKENS_A_LINE, _THINKING_TOKENS = 2, 20, 512

_MORE_TOKENS = 2
"""Of an answer that was cut off, as a factor; afterwards its lines are asked for in halves."""


class TranslationOptions(Struct, frozen=True):
    """What a translation is to be.

    Attributes:
        language: ISO 639-1 code of the target.
        glossary: terms and how they are to be translated.
        window_tokens: the most tokens that the lines of one question have.
        max_cps: the most characters a second that a line may take to read; None: any number.
    """

    model: str
    language: str
    glossary: Mapping[str, str] = {}
    max_cps: float | None = None
    window_tokens: int = MOST_TOKENS


class Translation(Struct, frozen=True):
    """The translated lines, by id.

    Attributes:
        kept: ids of lines that nobody translated, which stay as they were.
        against_glossary: ids of lines that a term of the glossary is missing in.
    """

    texts: Mapping[int, str]
    kept: tuple[int, ...] = ()
    against_glossary: tuple[int, ...] = ()


def prompt() -> str:
    """The instruction that sttbatch has."""
    return (
        files("sttbatch.kinds.translation").joinpath("prompts/translate-1.txt").read_text("utf-8")
    )


class Translator(Struct, frozen=True):
    """Translates the lines of one transcript; `ask` answers one question and may raise."""

    ask: Ask
    options: TranslationOptions

    async def translate(self, lines: Sequence[Line]) -> Translation:
        """Translate all lines; raises as `ask`."""
        texts: dict[int, str] = {}
        asked = [line for line in lines if letters(line.text)]
        for window in windows_of(asked, self.options.window_tokens):
            before = list(texts.values())[-CONTEXT_LINES:]
            found = await self._translated(window, before)
            found |= await self._better(window, found, before)
            texts |= {line.id: found[line.id] for line in window if line.id in found}
        spoken = [line for line in lines if letters(line.text)]
        return Translation(
            {line.id: texts.get(line.id, line.text) for line in lines},
            tuple(line.id for line in spoken if line.id not in texts),
            tuple(
                line.id
                for line in spoken
                if line.id in texts and self._missing_terms(line, texts[line.id])
            ),
        )

    async def _translated(
        self, lines: Sequence[Line], before: Sequence[str], spare: int = 1
    ) -> dict[int, str]:
        """The lines that can be trusted, of which those that are lost are asked for again.

        Answers may have `spare` times the tokens that they need.
        """
        found, is_short = await self._answered(lines, before, spare=spare)
        if is_short and not found and spare < _MORE_TOKENS:
            spare = _MORE_TOKENS
            try:
                found, _ = await self._answered(lines, before, spare=spare)
            except ChunkRefused:
                # The server does not allow so many.
                spare = 1
        rest = [line for line in lines if line.id not in found]
        if not rest or len(lines) == 1:
            return found
        if found:
            return found | await self._translated(rest, before, spare)
        middle = len(rest) // 2
        first = await self._translated(rest[:middle], before, spare)
        return first | await self._translated(rest[middle:], before, spare)

    async def _better(
        self, lines: Sequence[Line], texts: Mapping[int, str], before: Sequence[str]
    ) -> dict[int, str]:
        """Lines that were against the glossary or too long to be read, if asking again helped."""
        wrong = [
            line
            for line in lines
            if line.id in texts
            and (self._missing_terms(line, texts[line.id]) or self._is_long(line, texts[line.id]))
        ]
        if not wrong:
            return {}
        limits = {line.id: most for line in wrong if (most := self._most_characters(line))}
        found, _ = await self._answered(wrong, before, limits)
        return {
            line.id: found[line.id]
            for line in wrong
            if line.id in found and self._is_better(line, found[line.id], texts[line.id])
        }

    async def _answered(
        self,
        lines: Sequence[Line],
        before: Sequence[str],
        limits: Mapping[int, int] | None = None,
        spare: int = 1,
    ) -> tuple[dict[int, str], bool]:
        """The lines that can be trusted, and whether more tokens may help with the others."""
        question = _question(self.options, lines, before, limits)
        try:
            answer = await self.ask(replace(question, max_tokens=spare * question.max_tokens))
        except ChunkTooLarge:
            return {}, False
        trusted = trusted_lines(lines, json_value(answer.text))
        language = self.options.language
        found = {line_id: text for line_id, text in trusted.items() if can_be_in(language, text)}
        return found, answer.needs_tokens

    def _missing_terms(self, line: Line, text: str) -> list[str]:
        return [
            term
            for term, translated in self.options.glossary.items()
            if _has_term(line.text, term) and not _has_term(text, translated)
        ]

    def _most_characters(self, line: Line) -> int | None:
        if self.options.max_cps is None or line.duration_s <= 0:
            return None
        return max(1, math.floor(self.options.max_cps * line.duration_s))

    def _is_long(self, line: Line, text: str) -> bool:
        most = self._most_characters(line)
        return most is not None and len(text) > most

    def _is_better(self, line: Line, text: str, than: str) -> bool:
        missing, missed = self._missing_terms(line, text), self._missing_terms(line, than)
        if len(missing) != len(missed):
            return len(missing) < len(missed)
        return self._is_long(line, than) and len(text) < len(than)


def expected_questions(
    options: TranslationOptions, lines: Sequence[Line]
) -> list[ExpectedQuestion]:
    """The questions about `lines`, if none is asked again; the lines before them are guessed."""
    spoken = [line for line in lines if letters(line.text)]
    expected = []
    begin = 0
    for window in windows_of(spoken, options.window_tokens):
        before = [line.text for line in spoken[max(0, begin - CONTEXT_LINES) : begin]]
        generated = sum(estimated_tokens(line.text) + _TOKENS_A_LINE // 2 for line in window)
        expected.append(ExpectedQuestion(_question(options, window, before, None), generated))
        begin += len(window)
    return expected


def _question(
    options: TranslationOptions,
    lines: Sequence[Line],
    before: Sequence[str],
    limits: Mapping[int, int] | None,
) -> Question:
    glossary = {
        term: translated
        for term, translated in options.glossary.items()
        if any(_has_term(line.text, term) for line in lines)
    }
    context = {"to": options.language, "before": list(before), "glossary": glossary}
    if limits:
        context["limits"] = {str(line_id): most for line_id, most in limits.items()}
    segments = [{"id": line.id, "text": line.text} for line in lines]
    data = json.dumps({"segments": segments, "context": context}, ensure_ascii=False)
    tokens = sum(_GROWTH * estimated_tokens(line.text) + _TOKENS_A_LINE for line in lines)
    return Question(
        options.model,
        prompt(),
        data,
        ANSWER_SCHEMA,
        tokens + _THINKING_TOKENS,
    )


def _has_term(text: str, term: str) -> bool:
    """Whether a text has the words of a term one after another, in whatever form."""
    words, wanted = words_of(text), words_of(term)
    return any(
        all(map(are_forms, words[at : at + len(wanted)], wanted))
        for at in range(len(words) - len(wanted) + 1)
    )
