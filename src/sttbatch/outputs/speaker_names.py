"""Names in place of the numbers of speakers."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.models import Segment, Transcript

_LONGEST_NAME = 80
_UNSAFE = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKUP = set("<>{}\\")
"""Of subtitles; SubRip cannot escape it."""

# They change in which direction the text after them is shown.
_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def checked_name(name: str) -> str:
    """A name that every format can have; raises UsageError for another one."""
    name = unicodedata.normalize("NFC", " ".join(name.split(" ")).strip())
    if not name or len(name) > _LONGEST_NAME:
        raise UsageError(f"a speaker's name has 1 to {_LONGEST_NAME} characters")
    if any(unicodedata.category(each) in _UNSAFE or each in _DIRECTIONS for each in name):
        raise UsageError(f"the speaker's name {name!r} has a control character; remove it")
    if not _MARKUP.isdisjoint(name):
        raise UsageError(
            f"the speaker's name {name!r} may not have any of {' '.join(sorted(_MARKUP))}"
        )
    if name.isdigit():
        raise UsageError(f"the speaker's name {name!r} would be taken for a speaker's number")
    return name


def with_names(transcript: Transcript, names: Mapping[str, str]) -> Transcript:
    """A transcript whose speakers have names, where there is one for their number."""
    if not names:
        return transcript

    def named(segment: Segment) -> Segment:
        name = None if segment.speaker is None else names.get(segment.speaker)
        return segment if name is None else replace(segment, speaker=name)

    dropped = [replace(each, segment=named(each.segment)) for each in transcript.dropped]
    segments = tuple(map(named, transcript.segments))
    return replace(transcript, segments=segments, dropped=tuple(dropped))


def speakers_of(transcript: Transcript) -> list[str]:
    """The speakers of a transcript as it is stored, in order; none where channels were mixed."""
    found = {each.speaker for each in transcript.segments if each.speaker is not None}
    return sorted(found, key=lambda speaker: (len(speaker), speaker))
