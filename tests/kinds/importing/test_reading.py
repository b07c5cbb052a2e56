"""Forms of other tools, read into transcripts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.errors import RecordingError
from sttbatch.core.models import GapReason, Segment
from sttbatch.kinds.importing import reading
from sttbatch.kinds.importing.reading import NoTranscript, ReadTranscript, read_transcript
from tests.kinds.importing.samples import (
    CTRANSLATE2,
    VERBOSE,
    WHISPER,
    WHISPER_CPP,
    WHISPERX,
    cpp_segment,
    encoded,
    whisper_cpp,
)


def read(form: dict[str, Any]) -> ReadTranscript:
    return read_transcript(encoded(form))


def timed(segment: Segment) -> list[tuple[str, float, float]]:
    return [(each.text, each.start_s, each.end_s) for each in segment.words]


def test_whisper() -> None:
    found = read_transcript(WHISPER)
    transcript = found.transcript
    assert (found.tool, transcript.language, transcript.duration_s) == ("Whisper", "en", 3.2)
    first, second = transcript.segments
    assert (first.text, first.start_s, first.end_s) == ("Good morning.", 0.0, 1.4)
    # Tokens are joined to words.
    assert [each.text for each in second.words] == ["The", "sluice", "gate", "is", "open."]
    assert timed(second)[1] == ("sluice", 1.6, 2.0)


def test_the_words_of_the_api_belong_to_its_segments() -> None:
    found = read(VERBOSE).transcript
    assert (found.language, round(found.duration_s, 3)) == ("ru", 3.4)
    assert [[each.text for each in segment.words] for segment in found.segments] == [
        ["Шлюз", "открыт"],
        ["Баржа", "прошла"],
    ]
    words_only = {name: value for name, value in VERBOSE.items() if name != "segments"}
    (segment,) = read(words_only).transcript.segments
    assert (segment.text, len(segment.words)) == (VERBOSE["text"], 4)


def test_speakers_are_kept() -> None:
    assert [each.speaker for each in read(CTRANSLATE2).transcript.segments] == ["SPEAKER_00", None]
    found = read(WHISPERX)
    assert found.tool == "WhisperX"
    assert [each.speaker for each in found.transcript.segments] == ["SPEAKER_01", "SPEAKER_00"]
    hostile = {"segments": [{"start": 0, "end": 1, "text": "Hi", "speaker": "\x1b[31m<v\n" * 99}]}
    (speaker,) = {each.speaker for each in read(hostile).transcript.segments}
    assert speaker is not None
    assert len(speaker) == 100
    assert not set(speaker) & set("\x1b\n<>")


def test_what_was_not_aligned_lies_between_its_neighbours() -> None:
    first, second = read(WHISPERX).transcript.segments
    assert [each.text for each in first.words] == ["We", "had", "25", "barges."]
    assert timed(first)[2][1:] == (0.9, 1.7)
    assert second.words == ()


def test_whisper_cpp() -> None:
    found = read(WHISPER_CPP)
    assert (found.tool, found.model, found.transcript.language) == ("whisper.cpp", "base", "en")
    first, second = found.transcript.segments
    assert (first.speaker, second.speaker) == ("0", None)
    assert timed(first) == [
        ("The", 0.0, 0.3),
        ("lock", 0.3, 0.7),
        ("keeper", 0.7, 1.2),
        ("sleeps.", 1.2, 2.0),
    ]
    assert (second.text, second.start_s, second.end_s) == ("So does the dog.", 2.0, 3.5)


def test_tokens_that_end_within_a_character_are_whole_words_again() -> None:
    text = " Шлюз 水闸"
    halves = [b" \xd0", b"\xa8\xd0\xbb\xd1", b"\x8e\xd0\xb7", b" \xe6\xb0", b"\xb4\xe9\x97\xb8"]
    marks = [f"half {number}" for number in range(len(halves))]
    tokens = [(mark, at * 100, at * 100 + 100) for at, mark in enumerate(marks)]
    data = encoded(whisper_cpp(cpp_segment(text, 0, 500, *tokens), language="ru"))
    for mark, half in zip(marks, halves, strict=True):
        data = data.replace(mark.encode(), half)
    (segment,) = read_transcript(data).transcript.segments
    assert segment.text == text.strip()
    assert timed(segment) == [("Шлюз", 0.0, 0.3), ("水闸", 0.3, 0.5)]


def test_our_own_form_is_read_whole() -> None:
    form = {
        "source": "talks/a.mp3", "sha256": "ab" * 32, "duration": 12.0, "language": "en",
        "model": "openai/whisper-large-v3", "engine": "cloudru", "text": "One. Two.",
        "segments": [
            {"id": 0, "start": 0.0, "end": 1.0, "text": "One.", "speaker": "1",
             "words": [{"word": "One.", "start": 0.1, "end": 0.9}]},
            {"id": 1, "start": 1.0, "end": 2.0, "text": "Two.", "speaker": "2"},
        ],
        "chunks": [{"index": 0, "start": 0.0, "end": 5.0, "cached": True, "status": "ok"}],
        "gaps": [{"start": 5.0, "end": 9.0, "reason": "still_missing", "detail": "", "channel": 2}],
        "dropped": [{"start": 9.0, "end": 10.0, "text": "Bye.", "evidence": ["no_speech"]}],
    }  # fmt: skip
    found = read(form)
    assert (found.tool, found.model, found.source) == ("sttbatch", form["model"], "talks/a.mp3")
    assert found.sha256 == form["sha256"]
    transcript = found.transcript
    assert transcript.duration_s == 12.0
    assert [each.speaker for each in transcript.segments] == ["1", "2"]
    assert timed(transcript.segments[0]) == [("One.", 0.1, 0.9)]
    assert transcript.chunks[0].cached
    assert (transcript.gaps[0].reason, transcript.gaps[0].channel) == (GapReason.STILL_MISSING, 2)
    assert transcript.dropped[0].segment.text == "Bye."


@pytest.mark.parametrize(
    "form",
    [
        {"name": "a package", "version": "1"},
        [1, 2],
        {**VERBOSE, "task": "translate"},
        {**WHISPER_CPP, "params": {"translate": True}},
        {"segments": [], "sha256": "", "engine": "cloudru", "source_language": "de"},
    ],
)
def test_other_json_and_translations_are_no_transcripts(form: Any) -> None:
    with pytest.raises(NoTranscript):
        read_transcript(json.dumps(form).encode())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b'{"segments": [', "truncated"),
        (b'{"segments": {"text": "x"}}', "its form is unknown"),
        (b'{"segments": [{"start": 1}]}', "`text`"),
        (b'{"segments": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"segments": [' + b'{"text":""},' * 30 + b'{"text":""}]}', "more than 20 words"),
    ],
)
def test_what_cannot_be_read_says_why(
    data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_OBJECTS", 20)
    with pytest.raises(RecordingError, match=reason):
        read_transcript(data)


def test_what_is_no_number_in_a_text_stays() -> None:
    data = b'{"segments": [{"start": NaN, "end": -Infinity, "text": "It is \\"NaN, NaN\\""}]}'
    (segment,) = read_transcript(data).transcript.segments
    assert (segment.text, segment.start_s, segment.end_s) == ('It is "NaN, NaN"', 0.0, 0.0)


_TIMES = st.none() | st.floats() | st.text(max_size=4) | st.integers()
_WORDS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, word=st.text(max_size=5), start=_TIMES, end=_TIMES
)
_SEGMENTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        text=st.text(max_size=5),
        start=_TIMES,
        end=_TIMES,
        words=st.none() | st.lists(_WORDS, max_size=3),
        speaker=st.none() | st.integers() | st.text(max_size=3),
    ),
    max_size=4,
)


@given(_SEGMENTS)
@settings(max_examples=60, deadline=None)
def test_times_never_go_back(segments: list[dict[str, Any]]) -> None:
    # The standard library writes what is no number, and halves of surrogate pairs.
    try:
        transcript = read_transcript(json.dumps({"segments": segments}).encode()).transcript
    except RecordingError:
        # An integer that no number of 64 bits holds.
        return
    at_s = 0.0
    for segment in transcript.segments:
        assert at_s <= segment.start_s <= segment.end_s <= transcript.duration_s
        at_s = word_s = segment.start_s
        for word in segment.words:
            assert word_s <= word.start_s <= word.end_s <= segment.end_s
            word_s = word.start_s
