"""Subtitles: splits segments into cues that are short enough to read and do not overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.models import Segment, Word
from sttbatch.outputs.document import Document
from sttbatch.outputs.line_breaking import PENALTY, Atom, atoms, lines
from sttbatch.outputs.unicode_text import columns

MAX_CUE_S = 7.0
"""Maximum display time of a cue if word times allow a cut, as is common for subtitles."""
MIN_CUE_MS = 1000
"""Shorter cues are extended into the silence after them."""
NOTE_S = 5.0
"""Maximum display time of a note about a missing part."""

_CUE_COST = 10.0
_TOO_LONG = 40.0
_PAUSE_S = 0.7
# `>` is escaped too, since cues must not contain `-->`.
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

NAMED: Callable[[str], str] = "{}: ".format
"""The start of a speaker's cue in formats without speakers."""

Times = list[tuple[float, float]]


class Cue(Struct, frozen=True):
    """The text on the screen at one time. Times are milliseconds; `speaker` as in `Segment`.

    `row` counts what is spoken and what is missing together, in the order of time.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None = None
    row: int = 0


def cues(document: Document, name: Callable[[str], str] = lambda speaker: "") -> list[Cue]:
    """The cues of a document in order; every word is in exactly one.

    A missing part has a note at its start. Only cues of different speakers may overlap. `name`
    returns the start of a speaker's cues.
    """
    width = max(1, document.options.max_line_width)
    max_lines = max(1, document.options.max_lines)
    notes = [
        replace(note, end_s=min(note.end_s, note.start_s + NOTE_S)) for note in document.missing()
    ]
    by_speaker: dict[str | None, list[Cue]] = {}
    rows = sorted([*document.spoken(), *notes], key=lambda item: item.start_s)
    for row, segment in enumerate(rows):
        begin = name(segment.speaker) if segment.speaker is not None else ""
        # Beside a long name, its line is too long; else there were few letters in each.
        room = max(width - columns(begin), (width + 1) // 2)
        by_speaker.setdefault(segment.speaker, []).extend(
            replace(
                cue,
                lines=(begin + cue.lines[0], *cue.lines[1:]),
                speaker=segment.speaker,
                row=row,
            )
            for cue in segment_cues(segment, room, max_lines)
        )
    duration_ms = round(document.transcript.duration_s * 1000)
    timed = [cue for spoken in by_speaker.values() for cue in _without_overlap(spoken, duration_ms)]
    return sorted(timed, key=lambda cue: cue.start_ms)


def segment_cues(segment: Segment, width: int, max_lines: int) -> list[Cue]:
    """The cues of one segment, whose text is as `unicode_text.plain` returns it."""
    pieces = atoms(segment.text, width)
    spoken = _by_words(pieces, segment)
    times = spoken or _by_length(pieces, segment)
    cut: list[Cue] = []
    for start, end in pairwise((0, *_ends(pieces, times, width, max_lines, bool(spoken)))):
        start_s, end_s = times[start][0], times[end - 1][1]
        if spoken:
            # The end of a word may be inexact, in the silence after it.
            end_s = min(end_s, start_s + MAX_CUE_S)
        cut.append(Cue(round(start_s * 1000), round(end_s * 1000), lines(pieces[start:end], width)))
    return cut


def srt_pieces(sequence: Iterable[Cue]) -> Iterator[bytes]:
    """Cues as a file of SubRip, which knows no escapes."""
    for number, cue in enumerate(sequence, 1):
        yield _numbered(number, cue, ",", "\n".join(cue.lines))


def vtt_pieces(sequence: Iterable[Cue]) -> Iterator[bytes]:
    """Cues as a file of WebVTT."""
    yield b"WEBVTT\n\n"
    for number, cue in enumerate(sequence, 1):
        voice = "" if cue.speaker is None else f"<v {cue.speaker.translate(_VTT_ESCAPES)}>"
        yield _numbered(number, cue, ".", voice + "\n".join(cue.lines).translate(_VTT_ESCAPES))


def _numbered(number: int, cue: Cue, point: str, text: str) -> bytes:
    start, end = _time(cue.start_ms, point), _time(cue.end_ms, point)
    return f"{number}\n{start} --> {end}\n{text.strip()}\n\n".encode()


def _time(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _ends(
    pieces: Sequence[Atom], times: Times, width: int, max_lines: int, by_words: bool
) -> tuple[int, ...]:
    """The ends of cues, as indexes after their last atoms, with the minimum total cost.

    Dynamic programming: every cue that fits is tried from each start.
    """
    size = len(pieces)
    costs = [0.0] + [float("inf")] * size
    origins = [0] * (size + 1)
    for start in range(size):
        count, used, total = 1, 0, 0
        for end in range(start + 1, size + 1):
            atom = pieces[end - 1]
            gap = atom.spaced and end > start + 1
            total += gap + atom.width
            used += gap + atom.width
            if used > width and end > start + 1:
                count, used = count + 1, atom.width
                if count > max_lines:
                    break
            cost = costs[start] + _CUE_COST + 8.0 * max(0.0, 1 - 2 * total / width)
            if end < size and times[end][0] - times[end - 1][1] < _PAUSE_S:
                cost += PENALTY[pieces[end - 1].after]
            if by_words:
                excess_s = times[end - 1][1] - times[start][0] - MAX_CUE_S
                cost += _TOO_LONG + 10.0 * excess_s if excess_s > 0 else 0.0
            if cost < costs[end]:
                costs[end], origins[end] = cost, start
    ends: list[int] = []
    end = size
    while end:
        ends.append(end)
        end = origins[end]
    return tuple(reversed(ends))


def _by_length(pieces: Sequence[Atom], segment: Segment) -> Times:
    """Times of atoms in proportion to their columns."""
    ends = list(accumulate(atom.width for atom in pieces))
    rate = max(0.0, segment.end_s - segment.start_s) / max(1, ends[-1])
    starts = (0, *ends)
    return [
        (segment.start_s + starts[number] * rate, segment.start_s + end * rate)
        for number, end in enumerate(ends)
    ]


def _by_words(pieces: Sequence[Atom], segment: Segment) -> Times:
    """Times of atoms by the segment's word times; empty if there are none.

    Recognisers omit punctuation in words, and split Chinese into characters and numbers into
    digits. So words and atoms are matched by counting letters.
    """
    words = segment.words
    word_ends = list(accumulate(_letters(word.text) for word in words))
    ends = list(accumulate(_letters(atom.text) for atom in pieces))
    if not words or not word_ends[-1] or not ends[-1]:
        return []
    times: Times = []
    reached_s = segment.start_s
    for start, end in pairwise((0, *ends)):
        first, last = (position * word_ends[-1] / ends[-1] for position in (start, end))
        start_s = _moment(words, word_ends, first, bisect_right(word_ends, first))
        end_s = _moment(words, word_ends, last, bisect_left(word_ends, last))
        if start == end:
            # A mark without letters has the time of the text before it.
            start_s = end_s if start else start_s
            end_s = start_s
        start_s = min(max(start_s, reached_s), max(reached_s, segment.end_s))
        reached_s = min(max(end_s, start_s), max(start_s, segment.end_s))
        times.append((start_s, reached_s))
    return times


def _moment(words: Sequence[Word], ends: Sequence[int], letter: float, index: int) -> float:
    """The time of `letter`, counted over all words; it is in `words[index]`."""
    index = min(index, len(words) - 1)
    word = words[index]
    count = _letters(word.text)
    if not count:
        return word.end_s
    share = (letter - (ends[index] - count)) / count
    return word.start_s + min(max(share, 0.0), 1.0) * (word.end_s - word.start_s)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _without_overlap(sequence: list[Cue], duration_ms: int) -> list[Cue]:
    """Cues without overlaps: each ends before the next one, and is long enough if possible."""
    starts: list[int] = []
    for cue in sequence:
        starts.append(max(cue.start_ms, starts[-1] + 1 if starts else 0))
    timed: list[Cue] = []
    for number, cue in enumerate(sequence):
        start = starts[number]
        end = max(cue.end_ms, start + 1)
        free = starts[number + 1] if number + 1 < len(sequence) else max(duration_ms, end)
        timed.append(replace(cue, start_ms=start, end_ms=min(max(end, start + MIN_CUE_MS), free)))
    return timed
