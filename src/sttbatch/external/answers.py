"""Reading answers, tolerantly: servers differ in what they leave out and how they write it."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from sttbatch.core.models import Segment, Transcription, Word

_ERROR_TEXT_LIMIT = 300


class UnreadableAnswer(ValueError):
    """A 200 whose body is no transcription."""


def parse_transcription(body: bytes, audio_s: float) -> Transcription:
    """Read a json or verbose_json answer.

    Without segments the whole text is one segment of `audio_s` seconds.

    Raises:
        UnreadableAnswer: cut short, not JSON, or no transcription.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableAnswer(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict) or not ("text" in answer or "segments" in answer):
        raise UnreadableAnswer("the answer is JSON without a text")
    text = _text(answer.get("text"))
    words = [word for item in _list(answer, "words") if (word := _word(item)) is not None]
    segments = [s for item in _list(answer, "segments") if (s := _segment(item)) is not None]
    if not segments and words:
        segments = [Segment(text, words[0].start_s, words[-1].end_s)]
    if not segments and text:
        segments = [Segment(text, 0.0, audio_s)]
    language = answer.get("language")
    return Transcription(
        text or " ".join(segment.text for segment in segments),
        tuple(_with_words(segments, words)),
        language if isinstance(language, str) and language else None,
    )


def error_message(body: bytes, content_type: str) -> tuple[str, str]:
    """(message, code) out of any of the shapes that servers and gateways answer errors in."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if "html" in content_type:
            return "an HTML page (a gateway's?)", ""
        return _short(body.decode("utf-8", "replace")), ""
    if isinstance(answer, dict):
        inner = answer.get("error", answer)
        if isinstance(inner, dict):
            message = inner.get("message") or inner.get("detail") or inner
            return _short(message), f"{inner.get('code') or ''} {inner.get('type') or ''}".strip()
        return _short(inner), str(answer.get("code") or "")
    return _short(answer), ""


def wait_hint_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds the server asks to wait: Retry-After in seconds or as a date, retry-after-ms."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    try:
        date = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _text(value: Any) -> str:
    # One server wraps the text in an object of its own.
    if isinstance(value, dict):
        value = value.get("text", "")
    return value.strip() if isinstance(value, str) else ""


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = answer.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def _word(item: dict[str, Any]) -> Word | None:
    start_s, end_s = _number(item.get("start")), _number(item.get("end"))
    text = item.get("word", item.get("text"))
    if start_s is None or not isinstance(text, str) or not text.strip():
        return None
    return Word(text.strip(), start_s, max(start_s, end_s if end_s is not None else start_s))


def _segment(item: dict[str, Any]) -> Segment | None:
    start_s, end_s = _number(item.get("start")), _number(item.get("end"))
    text = _text(item.get("text"))
    if start_s is None or not text:
        return None
    words = [word for each in _list(item, "words") if (word := _word(each)) is not None]
    end_s = max(start_s, end_s if end_s is not None else start_s)
    return Segment(text, start_s, end_s, tuple(words))


def _with_words(segments: list[Segment], words: list[Word]) -> list[Segment]:
    """Give each segment its words: as many, in order, as its text is made of."""
    if not words or any(segment.words for segment in segments):
        return segments
    dealt, at = [], 0
    for index, segment in enumerate(segments):
        if index + 1 == len(segments):
            mine = words[at:]
        else:
            count = len(segment.text.split())
            mine = words[at : at + count]
            if "".join(word.text for word in mine) != "".join(segment.text.split()):
                # Not written alike; then the middle of each word tells whose it is.
                mine = _until(words[at:], segment.end_s)
        at += len(mine)
        dealt.append(Segment(segment.text, segment.start_s, segment.end_s, tuple(mine)))
    return dealt


def _until(words: list[Word], end_s: float) -> list[Word]:
    return [word for word in words if (word.start_s + word.end_s) / 2 < end_s]


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _ERROR_TEXT_LIMIT else text[:_ERROR_TEXT_LIMIT] + "…"
