"""The shapes of Cloud.ru's answers, and of servers that speak the same API a little differently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .alphabet import Heard, HeardWord

_SEGMENT_PAUSE_S = 0.3
_SEGMENT_MAX_S = 25.0


@dataclass(frozen=True, slots=True)
class Style:
    """How a server words its answers."""

    duration_as_string: bool = False
    words_null: bool = False
    """`words` is null even when asked for."""
    refuse_verbose: bool = False
    """400 for verbose_json, naming `response_format`."""
    refuse_words: bool = False
    """400 for word times, naming `timestamp_granularities`."""
    text_as_object: bool = False
    """response_format=text is answered with a JSON object instead of plain text."""
    no_speech_prob: float | None = 0.01
    usage: bool = False
    """json answers carry `usage`."""
    lose: tuple[float, float] | None = None
    """(seconds, minimum): that many seconds in the middle of each audio of at least `minimum`
    seconds are not transcribed, as servers that cut into windows of 30 s do it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """`value` as JSON, the way Python web servers write it: UTF-8, nothing escaped."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, headers=headers or {})


def error_answer(
    status: int, message: str, *, param: str | None = None, code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:  # fmt: skip
    """An error in OpenAI's shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_answer(status, {"error": error}, headers)


def transcript(
    heard: Heard,
    style: Style,
    *,
    response_format: str,
    granularities: Sequence[str],
    language: str,
) -> Answer:
    """The answer to a request for these words, or its refusal."""
    refusal = _refusal(style, response_format, granularities)
    if refusal is not None:
        return refusal
    if style.lose is not None:
        heard = _without_middle(heard, *style.lose)
    text = " ".join(word.text for word in heard.words)
    if response_format == "text":
        if style.text_as_object:
            return json_answer(200, {"text": text})
        return Answer(200, f"{text}\n".encode(), "text/plain; charset=utf-8")
    if response_format == "json":
        answer: dict[str, Any] = {"text": text}
        if style.usage:
            answer["usage"] = {"type": "duration", "seconds": -int(-heard.duration_s // 1)}
        return json_answer(200, answer)
    duration_s = round(heard.duration_s, 3)
    answer = {
        "text": text,
        "language": language or heard.language,
        "duration": str(duration_s) if style.duration_as_string else duration_s,
        "segments": [
            _segment(number, words, style) for number, words in enumerate(segments(heard.words))
        ],
        "words": None,
    }
    if "word" in granularities and not style.words_null:
        answer["words"] = [
            {"word": word.text, "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for word in heard.words
        ]
    return json_answer(200, answer)


def _refusal(style: Style, response_format: str, granularities: Sequence[str]) -> Answer | None:
    known = ("json", "text") if style.refuse_verbose else ("json", "text", "verbose_json")
    if response_format not in known:
        message = f"response_format '{response_format}' is not supported"
        return error_answer(400, message, param="response_format")
    if style.refuse_words and "word" in granularities:
        message = "timestamp_granularities 'word' is not supported"
        return error_answer(400, message, param="timestamp_granularities")
    return None


def segments(words: Sequence[HeardWord]) -> list[list[HeardWord]]:
    """Words less than 0.3 s apart together, in segments of at most 25 s."""
    groups: list[list[HeardWord]] = []
    for word in words:
        if (
            groups
            and word.start_s - groups[-1][-1].end_s < _SEGMENT_PAUSE_S
            and word.end_s - groups[-1][0].start_s <= _SEGMENT_MAX_S
        ):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _segment(number: int, words: Sequence[HeardWord], style: Style) -> dict[str, Any]:
    text = " " + " ".join(word.text for word in words)
    return {
        "id": number,
        "seek": round(words[0].start_s * 100),  # Whisper counts its frames of 10 ms
        "start": round(words[0].start_s, 3),
        "end": round(words[-1].end_s, 3),
        "text": text,
        "tokens": [50364, *(sum(word.text.encode()) for word in words if word.whole), 50864],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.3,
        "no_speech_prob": style.no_speech_prob,
    }


def _without_middle(heard: Heard, lost_s: float, min_audio_s: float) -> Heard:
    if heard.duration_s < min_audio_s:
        return heard
    begin_s = (heard.duration_s - lost_s) / 2
    kept = (
        word for word in heard.words if word.end_s <= begin_s or word.start_s >= begin_s + lost_s
    )
    return replace(heard, words=tuple(kept))
