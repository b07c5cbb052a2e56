"""ShownText: what outputs show of a stored transcript."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.models import Segment, Transcript
from sttbatch.kinds.indexing.alignment import with_times
from sttbatch.kinds.indexing.edits import EditedOutput
from sttbatch.kinds.indexing.words import Language
from sttbatch.outputs.edited_text import UNTIMED_FORMATS, edited_segments
from sttbatch.outputs.replacements import with_rules
from sttbatch.outputs.speaker_names import speakers_of, with_names


class ShownText(Struct, frozen=True):
    """How outputs differ from a stored transcript.

    Attributes:
        edit: the output in which somebody has edited the text, which no rule changes any more.
        rules: by which words were replaced, as in `OutputOptions`.
        names: of its speakers, by their numbers.
    """

    edit: EditedOutput | None = None
    rules: str = ""
    names: Mapping[str, str] = {}

    @property
    def id(self) -> str:
        """Differs where the text does; empty: it is as it was stored."""
        edit = self.edit.id if self.edit is not None else ""
        if not (self.rules or self.names):
            return edit
        facts = repr((edit, _digest(self.rules), sorted(self.names.items())))
        return hashlib.sha256(facts.encode()).hexdigest()[:32]

    def of(self, transcript: Transcript, language: Language) -> Transcript:
        """The transcript as outputs show it; reads the edited output, so call it in a thread."""
        if self.edit is None:
            shown, _ = with_rules(transcript, self.rules)
        else:
            segments = self._edited(self.edit, transcript, language)
            shown = replace(transcript, segments=segments, dropped=())
        return with_names(shown, self.names)

    def _edited(
        self, edit: EditedOutput, transcript: Transcript, language: Language
    ) -> tuple[Segment, ...]:
        """The segments of an edited output, or those that were stored if it cannot be read."""
        data = edit.read()
        numbers = speakers_of(transcript)
        speakers = [*numbers, *self.names.values()] if numbers else []
        segments = edited_segments(data, edit.format, speakers) if data is not None else None
        if segments is None:
            return transcript.segments
        if edit.format in UNTIMED_FORMATS:
            segments = with_times(segments, transcript.segments, language)
        return tuple(segments)


@lru_cache(64)
def _digest(rules: str) -> str:
    return hashlib.sha256(rules.encode()).hexdigest()
