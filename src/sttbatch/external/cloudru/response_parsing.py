"""A tolerant parser of transcription responses, of which servers omit different parts.

A response was paid for, so that everything in it that can be parsed is used.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sttbatch.core.engine import is_unlikely
from sttbatch.core.models import Segment, Transcription, Word


class UnreadableResponse(ValueError):
    """The body of a response with status 200 is no transcription."""


def parse_transcription(body: bytes, audio_s: float, content_type: str = "") -> Transcription:
    """Parse a json, verbose_json or plain text response; raises UnreadableResponse.

    Times are clamped to 0..`audio_s`. Without segments the whole text is one segment.
    """
    parsed = _decoded(body, content_type)
    if isinstance(parsed, str):
        parsed = {"text": parsed}
    if not isinstance(parsed, dict) or not ("text" in parsed or "segments" in parsed):
        raise UnreadableResponse("the answer is JSON without a text")
    words = [word for item in _items(parsed, "words") if (word := _word(item, audio_s))]
    segments = _segments(_items(parsed, "segments"), audio_s)
    text = (
        _text(parsed.get("text"))
        or " ".join(segment.text for segment in segments)
        or " ".join(word.text for word in words)
    )
    if not segments and text:
        start_s = min((word.start_s for word in words), default=0.0)
        end_s = max((word.end_s for word in words), default=audio_s)
        segments = [Segment(text, start_s, end_s)]
    if not any(segment.words for segment in segments):
        segments = _with_words(segments, words)
    return Transcription(text, tuple(segments), _text(parsed.get("language")) or None)


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
    # One server wraps the text in an object.
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, str):
        return ""
    # JSON can contain lone surrogates, which files and databases reject.
    return value.encode("utf-8", "replace").decode().strip()


def _items(parsed: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = parsed.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _clamped_s(value: Any, audio_s: float) -> float | None:
    """A time clamped to the audio; None: it is no number."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return audio_s
    return None if number != number else min(max(number, 0.0), audio_s)  # noqa: PLR0124 - NaN


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _word(item: dict[str, Any], audio_s: float) -> Word | None:
    text = _text(item.get("word")) or _text(item.get("text"))
    start_s = _clamped_s(item.get("start"), audio_s)
    if start_s is None or not text:
        return None
    end_s = _clamped_s(item.get("end"), audio_s)
    return Word(text, start_s, start_s if end_s is None else max(start_s, end_s))


def _segments(items: list[dict[str, Any]], audio_s: float) -> list[Segment]:
    """The segments with text; one without times is put between its neighbours."""
    segments: list[Segment] = []
    for index, item in enumerate(items):
        text = _text(item.get("text"))
        if not text:
            continue
        start_s = _clamped_s(item.get("start"), audio_s)
        if start_s is None:
            start_s = segments[-1].end_s if segments else 0.0
        end_s = _clamped_s(item.get("end"), audio_s)
        if end_s is None:
            after = items[index + 1].get("start") if index + 1 < len(items) else audio_s
            end_s = _clamped_s(after, audio_s)
        words = tuple(word for each in _items(item, "words") if (word := _word(each, audio_s)))
        end_s = start_s if end_s is None else max(start_s, end_s)
        probabilities = _number(item.get("no_speech_prob")), _number(item.get("avg_logprob"))
        unlikely = is_unlikely(*probabilities)
        segments.append(Segment(text, start_s, end_s, words, unlikely=unlikely))
    return segments


def _with_words(segments: list[Segment], words: list[Word]) -> list[Segment]:
    """Give each segment the words of its text, in order, and the last one the remaining words."""
    filled, at = [], 0
    for index, segment in enumerate(segments):
        end = len(words) if index + 1 == len(segments) else _end_of(segment, words, at)
        filled.append(replace(segment, words=tuple(words[at:end])))
        at = end
    return filled


def _end_of(segment: Segment, words: list[Word], at: int) -> int:
    """The index after the segment's last word; its first word is at `at`."""
    # Letters only: word lists have no punctuation, and some languages no spaces.
    expected, actual, end = _letters(segment.text), "", at
    while end < len(words) and len(actual) < len(expected):
        actual += _letters(words[end].text)
        end += 1
    if actual == expected:
        return end
    # The spelling differs; then the middle of each word decides which segment it belongs to.
    end = at
    while end < len(words) and (words[end].start_s + words[end].end_s) / 2 < segment.end_s:
        end += 1
    return end


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum()).casefold()
