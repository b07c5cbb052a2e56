from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.locations import FileStatus, Location
from sttbatch.core.models import (
    MIXED,
    Gap,
    GapReason,
    Hallucinations,
    Segment,
    Transcript,
)
from sttbatch.core.options import OutputOptions, Task
from sttbatch.core.timestamps import timestamp
from sttbatch.outputs.replacements import Replacement
from sttbatch.outputs.unicode_text import plain

EMBED_MAX_BYTES = 384 * 1024 * 1024
"""The largest recording that a page can contain: browsers take data: URLs of up to 512 MiB, in
which three bytes are four characters."""


_DATED_FORMATS = frozenset({"md", "docx"})


class Document(Struct, frozen=True):
    """One recording's transcript and the facts about it that outputs contain.

    Equal documents give equal bytes. Therefore `transcript.chunks` must be as it was stored with
    the transcript, or unchanged outputs are rewritten.

    Attributes:
        source: the recording's display path.
        sha256: of the recording's content, in hexadecimal digits.
        task: what the engine was asked for.
        url: where others read its json; None: it is in no bucket, or that is unknown.
        link: where a page of the document finds the recording, as a URL; None: nowhere.
        file: the recording, which a page is to contain.
        replacements: what rules have changed in the transcript.
        date: day on which the recording's file was last changed, YYYY-MM-DD; None: unknown.
        names: of the recording's speakers by their numbers; the transcript has them.
    """

    source: str
    sha256: str
    model: str
    engine: str
    transcript: Transcript
    options: OutputOptions
    url: str | None = None
    task: Task = Task.TRANSCRIBE
    link: str | None = None
    file: Path | None = None
    replacements: tuple[Replacement, ...] = ()
    names: Mapping[str, str] = {}
    date: str | None = None

    def segments(self) -> list[Segment]:
        """The transcript's, and what nobody spoke where that is kept or marked."""
        shown = list(self.transcript.segments)
        if self.options.hallucinations is not Hallucinations.DROP:
            is_marked = self.options.hallucinations is Hallucinations.MARK
            dropped = [each.segment for each in self.transcript.dropped]
            shown += [_marked(each) for each in dropped] if is_marked else dropped
            shown.sort(key=attrgetter("start_s"))
        return shown

    def spoken(self) -> list[Segment]:
        """The segments that have words, free of control characters, in the order of time."""
        cleaned = (replace(each, text=plain(each.text)) for each in self.segments())
        return sorted((each for each in cleaned if each.text), key=attrgetter("start_s"))

    def missing(self) -> list[Segment]:
        """The parts that lack words, each with a note as its text."""
        return [
            Segment(_note(gap), gap.start_s, gap.end_s)
            for gap in sorted(self.transcript.gaps, key=attrgetter("start_s"))
            if gap.reason is not GapReason.NO_SPEECH
        ]


def file_date(status: FileStatus, formats: Iterable[str]) -> str | None:
    """`Document.date`, by this machine's time zone; None: none of the formats shows it."""
    if _DATED_FORMATS.isdisjoint(name.rpartition(".")[2] for name in formats):
        return None
    return datetime.fromtimestamp(status.st_mtime_ns / 1e9).astimezone().date().isoformat()


def embeddable(recording: Location, status: FileStatus) -> Path | None:
    """The file of a recording that a page can contain; None: it is too large, or in a bucket."""
    is_small = status.st_size <= EMBED_MAX_BYTES
    return recording if isinstance(recording, Path) and is_small else None


def _marked(segment: Segment) -> Segment:
    return replace(segment, text=f"[not spoken? {segment.text}]", words=())


def _note(gap: Gap) -> str:
    # Rounded outwards to whole seconds, so that a short gap does not seem to be empty.
    start, end = math.floor(round(gap.start_s, 3)), math.ceil(round(gap.end_s, 3))
    channel = f"channel {gap.channel}" if gap.channel != MIXED else ""
    facts = [f"{timestamp(start)} - {timestamp(end)}", channel, plain(gap.detail)]
    return f"[not transcribed: {', '.join(filter(None, facts))}]"
