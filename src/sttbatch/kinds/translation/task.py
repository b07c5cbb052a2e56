"""TranslationTask: a transcript in another language, with the times of the original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.jobs import TRANSLATION
from sttbatch.core.options import OutputOptions
from sttbatch.core.timestamps import timestamp
from sttbatch.kinds.language.spoken_text import SpokenText
from sttbatch.kinds.language.task import Ask, ExpectedQuestion, Shortcoming
from sttbatch.kinds.translation.translator import (
    Translation,
    TranslationOptions,
    Translator,
    expected_questions,
    prompt,
)
from sttbatch.kinds.translation.windows import Line
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS, Formatter, json_document
from sttbatch.outputs.html_page import html_page

_NAMED_LINES = 5


class TranslationTask(Struct, frozen=True):
    """The `LanguageTask` of translations; the formats of its outputs are such as `en.srt`."""

    settings: TranslationOptions

    @property
    def kind(self) -> str:
        return TRANSLATION

    @property
    def how(self) -> str:
        return f"translated ({self.settings.language})"

    @property
    def model(self) -> str:
        return self.settings.model

    @property
    def result(self) -> type[Translation]:
        return Translation

    def options(self) -> Mapping[str, Any]:
        return {"settings": msgspec.to_builtins(self.settings)}

    def facts(self) -> Mapping[str, Any]:
        return {**self.options(), "prompt": prompt()}

    async def run(self, text: SpokenText, ask: Ask) -> Translation:
        return await Translator(ask, self.settings).translate(lines_of(text))

    def left_out(self, result: Translation) -> int:
        return 0

    def shortcoming(self, text: SpokenText, result: Translation) -> Shortcoming | None:
        if not result.kept:
            return None
        segments = text.transcript.segments
        count = len(result.kept)
        times = [timestamp(segments[line_id - 1].start_s) for line_id in result.kept[:_NAMED_LINES]]
        more = f" and {count - _NAMED_LINES} more" if count > _NAMED_LINES else ""
        lines = "line is" if count == 1 else "lines are"
        return Shortcoming(
            f"{count} {lines} not translated: at {', '.join(times)}{more}; --force asks again"
        )

    def contents(
        self,
        source: str,
        text: SpokenText,
        result: Translation,
        outputs: OutputOptions,
        link: str | None = None,
    ) -> Mapping[str, Iterable[bytes]]:
        document = replace(self._document(source, text, result, outputs), link=link)
        as_json = partial(_json, text, result)
        formats: dict[str, Formatter] = {
            **FORMATS,
            "json": as_json,
            "html": partial(html_page, as_json=as_json),
        }
        return {ending: formats[ending.rpartition(".")[2]](document) for ending in outputs.formats}

    def expected(self, text: SpokenText) -> Sequence[ExpectedQuestion]:
        return expected_questions(self.settings, lines_of(text))

    def _document(
        self, source: str, text: SpokenText, result: Translation, outputs: OutputOptions
    ) -> Document:
        segments = tuple(
            replace(segment, text=result.texts.get(number, segment.text), words=())
            for number, segment in enumerate(text.transcript.segments, 1)
        )
        transcript = replace(
            text.transcript,
            segments=segments,
            language=self.settings.language,
            chunks=(),
            dropped=(),
        )
        return Document(source, text.sha256, self.settings.model, "cloudru", transcript, outputs)


def _json(text: SpokenText, result: Translation, document: Document) -> Iterator[bytes]:
    """The document with the original text; lines that stay as they were are marked."""
    kept, originals = set(result.kept), text.transcript.segments

    def marks(index: int) -> dict[str, object]:
        marked: dict[str, object] = {"source_text": originals[index].text}
        return marked | {"translated": False} if index + 1 in kept else marked

    return json_document(document, {"source_language": text.transcript.language}, marks)


def lines_of(text: SpokenText) -> list[Line]:
    """The segments of a text as numbered lines."""
    segments = text.transcript.segments
    starts = [*(segment.start_s for segment in segments[1:]), text.transcript.duration_s]
    return [
        Line(
            number,
            segment.text,
            segment.end_s - segment.start_s,
            max(0.0, next_s - segment.end_s),
        )
        for number, (segment, next_s) in enumerate(zip(segments, starts, strict=False), 1)
    ]
