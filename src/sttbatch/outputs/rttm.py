"""Who speaks when, as NIST's Rich Transcription Time Marked (RTTM)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sttbatch.core.models import Hallucinations
from sttbatch.outputs.document import Document
from sttbatch.outputs.readable import title

PAUSE_S = 0.3
"""A longer pause of a speaker ends a turn, as in NIST's evaluations."""


def rttm(document: Document) -> Iterator[bytes]:
    """A line for each turn of a speaker; none for words whose speaker nobody knows.

    Fields have no spaces: the file is the recording's name without its ending, `_` for each space.
    All turns are on channel 1, as what was on several channels is one recording. What is marked as
    not spoken is no turn.
    """
    if document.options.hallucinations is Hallucinations.MARK:
        unmarked = replace(document.options, hallucinations=Hallucinations.DROP)
        document = replace(document, options=unmarked)
    name = title(document)
    stem = _field(name.rpartition(".")[0] or name)
    turns: list[list[float]] = []
    latest: dict[str, list[float]] = {}
    speakers: list[str] = []
    for segment in document.spoken():
        if segment.speaker is None:
            continue
        turn = latest.get(segment.speaker)
        if turn is not None and segment.start_s - turn[1] <= PAUSE_S:
            turn[1] = max(turn[1], segment.end_s)
            continue
        latest[segment.speaker] = turn = [segment.start_s, segment.end_s]
        turns.append(turn)
        speakers.append(segment.speaker)
    for (start_s, end_s), speaker in zip(turns, speakers, strict=True):
        times = f"{start_s:.3f} {end_s - start_s:.3f}"
        yield f"SPEAKER {stem} 1 {times} <NA> <NA> {_field(speaker)} <NA> <NA>\n".encode()


def _field(text: str) -> str:
    return "_".join(text.split()) or "<NA>"
