"""Answers of all kinds: as much as can be understood is kept, and nothing else is raised."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.models import Segment, Transcription, Word
from sttbatch.external.cloudru.response_parsing import UnreadableResponse, parse_transcription


def read(answer: Any, audio_s: float = 10.0) -> Transcription:
    return parse_transcription(json.dumps(answer).encode(), audio_s)


def word(text: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end}


def segment(text: Any, start: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end} | more


def test_verbose_json() -> None:
    heard = read(
        {
            "text": " One two. Three. ", "language": "en", "duration": "9.7",
            "segments": [
                segment(" One two.", 0.5, 2, no_speech_prob=None, tokens=[1], id=0),
                segment(" Three.", 4, 5.5, no_speech_prob=0.1),
            ],
            "words": [word(" One", 0.5, 1), word("two", 1.2, 2), word("Three", 4, 5.5)],
        }
    )  # fmt: skip
    assert heard == Transcription(
        "One two. Three.",
        (
            Segment("One two.", 0.5, 2, (Word("One", 0.5, 1), Word("two", 1.2, 2))),
            Segment("Three.", 4, 5.5, (Word("Three", 4, 5.5),)),
        ),
        "en",
    )


@pytest.mark.parametrize("words", [{"words": None}, {}, {"words": []}, {"words": "no"}])
def test_without_words(words: dict[str, Any]) -> None:
    heard = read({"text": "One", "segments": [segment("One", 0, 1)]} | words)
    assert heard.segments == (Segment("One", 0, 1),)


@pytest.mark.parametrize("answer", [{"text": "One two"}, {"text": {"text": "One two"}}, "One two"])
def test_text_alone_is_one_segment(answer: Any) -> None:
    assert read(answer) == Transcription("One two", (Segment("One two", 0, 10),))


def test_plain_text() -> None:
    body = "Да, это так.\n".encode()
    heard = parse_transcription(body, 3.0, "text/plain; charset=utf-8")
    assert heard.segments == (Segment("Да, это так.", 0, 3),)
    for kind, text in [
        ("text/html", b"<html>"),
        ("", b"One"),
        ("text/plain", b" "),
        ("text/plain", b'{"text": "On'),
    ]:
        with pytest.raises(UnreadableResponse):
            parse_transcription(text, 3.0, kind)


@pytest.mark.parametrize("body", [b"", b'{"text": "cut', b"[1]", b"{}", b"null", b"7", b"\xff{",
                                  b'{"error": {"message": "no"}}', b"[" * 100_000])  # fmt: skip
def test_what_is_no_transcription(body: bytes) -> None:
    with pytest.raises(UnreadableResponse):
        parse_transcription(body, 1.0)


def test_silence_is_an_answer() -> None:
    assert read({"text": "", "segments": []}) == Transcription("", ())


def test_words_alone_make_the_text_and_its_times() -> None:
    heard = read({"text": "", "words": [word("One", 1, 2), word("two", 2, 3)]})
    assert heard.text == "One two"
    (only,) = heard.segments
    assert (only.text, only.start_s, only.end_s) == ("One two", 1, 3)
    assert [each.text for each in only.words] == ["One", "two"]


def test_words_out_of_order_span_all_of_them() -> None:
    heard = read({"text": "b a", "words": [word("b", 5, 6), word("a", 0, 1)]})
    assert [(each.start_s, each.end_s) for each in heard.segments] == [(0, 6)]


def test_segments_alone_make_the_text() -> None:
    assert read({"segments": [segment("One", 0, 1), segment("two", 1, 2)]}).text == "One two"


def test_not_a_number_spoils_nothing() -> None:
    """Python servers write NaN, which strict parsers refuse."""
    body = (
        b'{"text": "One two", "duration": NaN, "segments": [{"text": "One two", "start": 0.0, '
        b'"end": Infinity, "avg_logprob": NaN}], "words": [{"word": "One", "start": NaN, "end": 1},'
        b'{"word": "two", "start": -3, "end": 1e999}]}'
    )
    (only,) = parse_transcription(body, 5.0).segments
    assert only == Segment("One two", 0, 5, (Word("two", 0, 5),))


def test_times_stay_within_the_audio_and_in_order() -> None:
    heard = read({"text": "x", "segments": [segment("x", 4, 2), segment("y", "5.5", 10**400)]})
    assert [(each.start_s, each.end_s) for each in heard.segments] == [(4, 4), (5.5, 10)]


def test_a_segment_without_times_keeps_its_text() -> None:
    heard = read(
        {"segments": [segment("a", None, 2), segment("b", None, None), segment("c", 6, True)]}
    )
    assert [(s.text, s.start_s, s.end_s) for s in heard.segments] == [
        ("a", 0, 2), ("b", 2, 6), ("c", 6, 10),
    ]  # fmt: skip


def test_segments_with_words_of_their_own() -> None:
    heard = read({"segments": [segment("One", 0, 1, words=[word("One", 0, 1), word(1, 2, 3), 4])]})
    assert heard.segments[0].words == (Word("One", 0, 1),)


def test_words_are_dealt_though_texts_differ_slightly() -> None:
    """Word lists come without punctuation, and languages without spaces."""
    heard = read(
        {
            "segments": [
                segment("Well - it's 5 o'clock.", 0, 2),
                segment("你好,世界", 2, 4),
                segment("Colour it.", 4, 6),
                segment("End", 6, 8),
            ],
            "words": [
                word("Well", 0, 0.5), word("It's", 0.5, 1), word("5", 1, 1.2),
                word("o'clock", 2.1, 2.5),  # drifted into the next one, by its time
                word("你", 2, 2.5), word("好", 2.5, 3), word("世界", 3, 4),
                word("Color", 4.1, 5), word("it", 5, 5.9), word("End", 6, 7), word("more", 7, 8),
            ],
        }
    )  # fmt: skip
    assert [[each.text for each in s.words] for s in heard.segments] == [
        ["Well", "It's", "5", "o'clock"], ["你", "好", "世界"], ["Color", "it"], ["End", "more"],
    ]  # fmt: skip


def test_half_a_surrogate_pair_can_be_stored() -> None:
    heard = parse_transcription(rb'{"text": "\ud83d cut", "language": "\ud83d"}', 1.0)
    assert heard.text.encode() == b"? cut"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([10**400, "NaN", "1e400", "\ud800", -0.0]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["text", "segments", "words", "word", "start", "end", "language"]), inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip
ITEMS = st.lists(
    VALUES
    | st.fixed_dictionaries(
        {"start": VALUES, "end": VALUES, "text": VALUES, "word": VALUES, "words": VALUES}
    ),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(
    VALUES | st.fixed_dictionaries({"text": VALUES, "segments": ITEMS, "words": ITEMS}),
    st.floats(0.1, 1e6),
)
def test_any_json_is_a_transcription_or_unreadable(answer: Any, audio_s: float) -> None:
    try:
        heard = read(answer, audio_s)
    except UnreadableResponse:
        return
    heard.text.encode()
    for each in heard.segments:
        assert each.text
        pieces: list[Segment | Word] = [each, *each.words]
        for piece in pieces:
            piece.text.encode()
            assert 0 <= piece.start_s <= piece.end_s <= audio_s
            assert math.isfinite(piece.end_s)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["", "text/plain", "application/json"]))
def test_any_bytes_are_a_transcription_or_unreadable(body: bytes, kind: str) -> None:
    try:
        heard = parse_transcription(body, 1.0, kind)
    except UnreadableResponse:
        return
    heard.text.encode()
