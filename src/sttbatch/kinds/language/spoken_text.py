"""What was said in a recording, as a job about it reads it."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from sttbatch.core.models import Transcript
from sttbatch.kinds.indexing.shown_text import ShownText
from sttbatch.processing.discovery import Candidate


class RecordingText(Struct, frozen=True):
    """Where the text of a recording is.

    Attributes:
        sha256: of the recording's content.
        transcript_key: of its transcript; None: it has none yet.
        shown: how outputs differ from it.
    """

    candidate: Candidate
    sha256: str
    transcript_key: str | None = None
    shown: ShownText = ShownText()


class SpokenText(Struct, frozen=True):
    """A transcript as outputs show it.

    Attributes:
        sha256: of the recording's content.
    """

    sha256: str
    transcript: Transcript

    def digest(self) -> str:
        """A hash of what is said, by whom and when: 64 hexadecimal digits."""
        segments = self.transcript.segments
        facts = [
            self.transcript.language,
            [(each.start_s, each.end_s, each.speaker, each.text) for each in segments],
        ]
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
