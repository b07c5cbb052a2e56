"""A tolerant parser of transcription responses, of which servers omit different parts.

A response was paid for, so that everything in it that can be parsed is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sttbatch.core.engine import is_unlikely
from sttbatch.core.models import Segment, Transcription, Word
from sttbatch.core.scripts import letters, running_text
from sttbatch.external.cloudru.json_values import finite_number, storable
from sttbatch.external.cloudru.whole_words import (
    Part,
    add_rest,
    join_lines,
    join_segments,
    join_words,
)

_CLOCK = re.compile(r"\s*(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d*)?)\s*s?\s*", re.ASCII)


class UnreadableResponse(ValueError):
    """The body of a response with status 200 is no transcription."""


def parse_transcription(body: bytes, audio_s: float, content_type: str = "") -> Transcription:
    """Parse a json, verbose_json or plain text response; raises UnreadableResponse.

    Every word is kept, whatever its times are: they are clamped to 0..`audio_s`, and what has none
    lies between its neighbours. So does what `text` holds and no segment does. Without segments the
    whole text is one segment.
    """
    parsed = _decoded(body, content_type)
    if isinstance(parsed, str):
        parsed = {"text": parsed}
    if not isinstance(parsed, dict) or not ("text" in parsed or "segments" in parsed):
        raise UnreadableResponse("the answer is JSON without a text")
    words = join_words(_parts(parsed, "words", audio_s))
    segments = join_segments(_parts(parsed, "segments", audio_s))
    text = join_lines(_text(parsed.get("text"))) or running_text(
        part.text.strip() for part in segments or words
    )
    if segments:
        segments = add_rest(text, segments)
    elif text:
        starts_s = [word.start_s for word in words if word.start_s is not None]
        ends_s = [word.end_s for word in words if word.end_s is not None]
        segments = [Part(text, min(starts_s, default=0.0), max(ends_s, default=audio_s))]
    if not any(segment.words for segment in segments):
        deal_words(words, segments)
    timed = timed_segments(segments, audio_s)
    return Transcription(text, timed, _text(parsed.get("language")).strip() or None)


def _decoded(body: bytes, content_type: str) -> Any:
    try:
        # The standard library accepts the NaN that Python servers write for a probability;
        # stricter parsers would reject a paid response.
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        plain = content_type.startswith("text/plain") and not body.lstrip().startswith((b"{", b"["))
        if plain and body.strip():
            return body.decode("utf-8", "replace")
        raise UnreadableResponse(f"the answer is not JSON: {error}") from error


def _text(value: Any) -> str:
    """A text with the space around it; empty: there is none."""
    # One server wraps the text in an object.
    if isinstance(value, dict):
        value = value.get("text")
    return storable(value) if isinstance(value, str) else ""


def _parts(parsed: dict[str, Any], name: str, audio_s: float) -> list[Part]:
    """Segments, or the words of an answer or of a segment."""
    value = parsed.get(name)
    return [
        Part(
            _text(item.get("word")) or _text(item.get("text")),
            _seconds(item.get("start"), audio_s),
            _seconds(item.get("end"), audio_s),
            join_words(_parts(item, "words", audio_s)) if name == "segments" else [],
            is_unlikely(
                finite_number(item.get("no_speech_prob")), finite_number(item.get("avg_logprob"))
            ),
        )
        for item in (value if isinstance(value, list) else [])
        if isinstance(item, dict)
    ]


def _seconds(value: Any, audio_s: float) -> float | None:
    """A time, clamped to the audio, as a number or as text; None: it is neither."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return audio_s
    except (TypeError, ValueError):
        clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
        if clock is None:
            return None
        hours, minutes, seconds = clock.groups(default="0")
        number = 3600 * float(hours) + 60 * float(minutes) + float(seconds.replace(",", "."))
    return None if number != number else min(max(number, 0.0), audio_s)  # noqa: PLR0124 - NaN


def times(parts: Sequence[Part], low_s: float, high_s: float) -> list[tuple[float, float]]:
    """Start and end of each part; one that has none lies between its neighbours, by its length."""
    moments: list[tuple[float | None, int]] = [(low_s, 0)]
    at = 0
    for part in parts:
        moments.append((part.start_s, at))
        at += len(part.text)
        moments.append((part.end_s, at))
    moments.append((high_s, at))
    found: list[float] = []
    known = [index for index, (moment_s, _) in enumerate(moments) if moment_s is not None]
    for first, past in pairwise(known):
        (from_s, start), (to_s, end) = moments[first], moments[past]
        assert from_s is not None
        assert to_s is not None
        past_s = max(from_s, to_s)
        per_letter_s = (past_s - from_s) / max(1, end - start)
        # Rounding may lead beyond the end.
        found += [
            min(past_s, from_s + per_letter_s * (place - start)) for _, place in moments[first:past]
        ]
    return [
        (start_s, max(start_s, end_s))
        for start_s, end_s in zip(found[1::2], found[2::2], strict=True)
    ]


def timed_segments(segments: Sequence[Part], audio_s: float) -> tuple[Segment, ...]:
    """Segments and words with times; what has none lies between its neighbours."""
    return tuple(
        Segment(
            segment.text.strip(),
            start_s,
            end_s,
            _timed_words(segment.words, start_s, end_s),
            unlikely=segment.unlikely,
        )
        for segment, (start_s, end_s) in zip(segments, times(segments, 0.0, audio_s), strict=True)
    )


def _timed_words(words: Sequence[Part], start_s: float, end_s: float) -> tuple[Word, ...]:
    """None where no word has a time."""
    if all(word.start_s is None and word.end_s is None for word in words):
        return ()
    return tuple(
        Word(word.text.strip(), *between)
        for word, between in zip(words, times(words, start_s, end_s), strict=True)
    )


def deal_words(words: Sequence[Part], segments: Sequence[Part]) -> None:
    """Give each segment the words that its text is made of, in order; the last one the rest."""
    at = 0
    for index, segment in enumerate(segments):
        end = len(words) if index + 1 == len(segments) else _end_of(segment, words, at)
        segment.words = list(words[at:end])
        at = end


def _end_of(segment: Part, words: Sequence[Part], at: int) -> int:
    """Index after the segment's last word, the first of which is at `at`."""
    # Letters only: word lists come without punctuation, some languages without spaces.
    wanted, found, end = letters(segment.text), "", at
    while end < len(words) and len(found) < len(wanted):
        found += letters(words[end].text)
        end += 1
    if found == wanted or segment.end_s is None:
        return end
    # The spelling differs; then the middle of each word decides which segment it belongs to.
    end = at
    while end < len(words) and _middle_s(words[end]) < segment.end_s:
        end += 1
    return end


def _middle_s(word: Part) -> float:
    """A word without a time belongs to the one before it."""
    return ((word.start_s or 0.0) + (word.end_s or 0.0)) / 2
