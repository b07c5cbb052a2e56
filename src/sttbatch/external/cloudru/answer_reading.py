"""Reads a response into a result, or into the decision what to do without one.

The maximum size of a response depends on the duration of its audio, and is far above what speech
needs: Whisper writes at most 448 tokens for a window of 30 s, 15 a second. A word of verbose_json
takes up to 150 bytes, and some servers give all words twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from sttbatch.core.models import Segment, Transcription
from sttbatch.external.bounded_body import Body
from sttbatch.external.cloudru.http_attempt import HttpAnswer
from sttbatch.external.cloudru.response_parsing import UnreadableResponse, parse_transcription
from sttbatch.external.cloudru.retry_policy import Action, RetryDecision, decide, error_inside

T = TypeVar("T")

_BASE_BYTES, _BYTES_A_SECOND = 1 << 20, 8 << 10
_BASE_OBJECTS, _OBJECTS_A_SECOND = 1000, 40
_BASE_VALUES, _VALUES_A_SECOND = 20_000, 1000


def max_answer_bytes(audio_s: float) -> int:
    """The maximum size of an answer to `audio_s` seconds of audio, decoded."""
    return _BASE_BYTES + int(_BYTES_A_SECOND * audio_s)


def understand(
    answer: HttpAnswer, audio_s: float, mask: Callable[[str], str]
) -> Transcription | RetryDecision:
    """The transcription of `audio_s` seconds, or what to do without one; as `understood`."""
    if answer.status == 200 and (excess := _excess(answer.body, audio_s)) is not None:
        message = f"the answer holds more than {excess}: no transcription of {audio_s:.0f} s does"
        return RetryDecision(Action.GIVE_UP, message, status=answer.status)

    def parse(body: bytes) -> Transcription:
        content_type = answer.headers.get("content-type", "")
        return _masked(parse_transcription(body, audio_s, content_type), mask)

    return understood(answer, mask, parse, is_whole=lambda transcription: bool(transcription.text))


def understood(
    answer: HttpAnswer,
    mask: Callable[[str], str],
    parse: Callable[[bytes], T],
    *,
    is_whole: Callable[[T], bool] = lambda _: True,
) -> T | RetryDecision:
    """Parse an answer, of whatever status; no content raises an error that would end the run.

    `mask` removes the key from decoded text, as some servers repeat it. `parse` takes a body of
    status 200 and raises UnreadableResponse. Unless `is_whole`, what it returns may be an error in
    place of a result.
    """
    try:
        if answer.status == 200:
            return _result(answer, mask, parse, is_whole)
        return decide(answer.status, answer.headers, answer.body.data, mask)
    except UnreadableResponse as error:
        return RetryDecision(Action.UNREADABLE, mask(str(error)), status=answer.status)
    except Exception as error:  # noqa: BLE001 - hostile answers reach untested code
        message = f"the answer cannot be understood: {type(error).__name__}: {error}"
        return RetryDecision(Action.GIVE_UP, mask(message), status=answer.status)


def _result(
    answer: HttpAnswer,
    mask: Callable[[str], str],
    parse: Callable[[bytes], T],
    is_whole: Callable[[T], bool],
) -> T | RetryDecision:
    if answer.body.too_large:
        message = f"the answer holds more than {len(answer.body.data):,} bytes"
        return RetryDecision(Action.GIVE_UP, message, status=answer.status)
    if answer.body.damage:
        raise UnreadableResponse(f"the answer is damaged: {answer.body.damage}")
    body = answer.body.data
    parsed, unreadable = None, None
    try:
        parsed = parse(body)
        if is_whole(parsed):
            return parsed
    except UnreadableResponse as error:
        unreadable = error
    if (status := error_inside(body)) is not None:
        decision = decide(status, answer.headers, body, mask)
        return replace(decision, message=f"{decision.message} (an error inside a 200)")
    if parsed is None:
        assert unreadable is not None
        raise unreadable
    return parsed


def _excess(body: Body, audio_s: float) -> str | None:
    """What the body exceeds, counted before it is parsed, as JSON takes many times its size."""
    if body.too_large:
        return f"{max_answer_bytes(audio_s):,} bytes"
    objects = body.data.count(b"{")
    if objects > (most := int(_BASE_OBJECTS + _OBJECTS_A_SECOND * audio_s)):
        return f"{most:,} words and segments"
    # Each value except the first of a list follows a comma.
    values = objects + body.data.count(b",") + body.data.count(b"[")
    if values > (most := int(_BASE_VALUES + _VALUES_A_SECOND * audio_s)):
        return f"{most:,} values"
    return None


def _masked(transcription: Transcription, mask: Callable[[str], str]) -> Transcription:
    if all(mask(text) == text for text in _texts(transcription)):
        return transcription
    segments = tuple(_masked_segment(segment, mask) for segment in transcription.segments)
    language = transcription.language and mask(transcription.language)
    return replace(
        transcription, text=mask(transcription.text), segments=segments, language=language
    )


def _masked_segment(segment: Segment, mask: Callable[[str], str]) -> Segment:
    words = tuple(replace(word, text=mask(word.text)) for word in segment.words)
    return replace(segment, text=mask(segment.text), words=words)


def _texts(transcription: Transcription) -> Iterator[str]:
    yield transcription.text
    yield transcription.language or ""
    for segment in transcription.segments:
        yield segment.text
        yield from (word.text for word in segment.words)
