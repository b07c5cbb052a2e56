"""Answers of all kinds: as much as can be understood is kept, and nothing else is raised."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
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
    assert only == Segment("One two", 0, 5, (Word("One", 0, 1), Word("two", 0, 5)))


def test_times_stay_within_the_audio_and_in_order() -> None:
    """Numbers that no float holds are no reason to lose the text."""
    late = segment("y", "5.5", 10**400, no_speech_prob=10**400, avg_logprob=-(10**400))
    heard = read({"text": "x", "segments": [segment("x", 4, 2), late]})
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


def told(heard: Transcription) -> list[tuple[str, float, float]]:
    return [(each.text, each.start_s, each.end_s) for each in heard.segments]


CLOCK, NO_CLOCK = "00:00:01.000", "soon"


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (0.0, 0.0), (-3, -1), ("-1", "-1"), (None, None), (CLOCK, CLOCK), (NO_CLOCK, {})],
)
def test_words_and_segments_are_kept_whatever_their_times(start: Any, end: Any) -> None:
    heard = read(
        {
            "text": " Not guilty. Next.",
            "segments": [segment(" Not guilty.", start, end), segment(" Next.", 4, 5)],
            "words": [word("Not", start, end), word("guilty", 0.3, 0.5), word("Next", 4, 5)],
        }
    )
    assert [each.text for each in heard.segments] == ["Not guilty.", "Next."]
    words = [each.text for part in heard.segments for each in part.words]
    assert words == ["Not", "guilty", "Next"]


def test_times_may_be_written_as_a_clock_shows_them() -> None:
    heard = read({"segments": [segment("a", CLOCK, "00:02,5"), segment("b", "3.5s", "1:00:00")]})
    assert told(heard) == [("a", 1.0, 2.5), ("b", 3.5, 10.0)]


def test_what_has_no_times_lies_between_its_neighbours_by_its_length() -> None:
    heard = read({"segments": [segment("abc", None, None), segment("d", None, None)]}, 8.0)
    assert told(heard) == [("abc", 0, 6), ("d", 6, 8)]
    (only,) = read(
        {
            "segments": [segment("a bbb c", 1, 7)],
            "words": [word("a", 1, 2), word("bbb", None, None), word("c", 5, 7)],
        }
    ).segments
    assert only.words == (Word("a", 1, 2), Word("bbb", 2, 5), Word("c", 5, 7))
    untimed = {"text": "a b", "words": [word("a", None, None), word("b", "", None)]}
    assert read(untimed).segments == (Segment("a b", 0, 10),)


def test_segments_that_end_within_a_word_get_whole_words() -> None:
    """As whisper.cpp cuts them: a leading space says where a word begins."""
    parts = [segment(" Он отк", 0, 1), segment("лючил звук, и сообщ", 1, 2)]
    parts += [segment("ение", 2, 3), segment(" пропало.", 3, 4)]
    text = "\n".join(each["text"] for each in parts)
    heard = read({"text": text, "segments": parts})
    whole = ["Он отключил", "звук, и сообщение", "пропало."]
    assert [each.text for each in heard.segments] == whole
    assert heard.segments[1].end_s == 3
    assert heard.text == " ".join(whole)
    assert read({"text": text}).text == " ".join(whole)


def test_words_that_were_broken_into_tokens_are_whole() -> None:
    tokens = [" The", " You", "Tube", " star", ",", " 3", ".", "5", " m"]
    words = [word(text, at, at + 1) for at, text in enumerate(tokens)]
    for answer in ({"words": words}, {"segments": [segment("".join(tokens), 0, 9, words=words)]}):
        (only,) = read({"text": "".join(tokens)} | answer).segments
        assert [each.text for each in only.words] == ["The", "YouTube", "star,", "3.5", "m"]
        assert only.words[1] == Word("YouTube", 1, 3)
    across = [
        segment(" Он отк", 0, 2, words=[word(" Он", 0, 1), word(" отк", 1, 2)]),
        segment("лючил звук", 2, 4, words=[word("лючил", 2, 2.5), word(" звук", 3, 4)]),
    ]
    first, second = read({"segments": across}).segments
    assert first == Segment("Он отключил", 0, 2.5, (Word("Он", 0, 1), Word("отключил", 1, 2.5)))
    assert second == Segment("звук", 2.5, 4, (Word("звук", 3, 4),))


@pytest.mark.parametrize(
    "texts",
    [["Well.", "Known to me"], [" Well.", "Known to me"], ["今天", "天气"], [" well", " known"]],
)
def test_segments_that_end_with_a_word_stay_as_they_are(texts: list[str]) -> None:
    heard = read({"segments": [segment(text, at, at + 1) for at, text in enumerate(texts)]})
    assert [each.text for each in heard.segments] == [text.strip() for text in texts]


WHOLE = "Hello there. How are you? I am fine."


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ([("Hello there.", 0, 1)], [("How are you? I am fine.", 1, 10)]),
        ([("I am fine.", 8, 9)], [("Hello there. How are you?", 0, 8)]),
        ([("hello there", 0, 1), ("I AM - fine!", 8, 9)], [("How are you?", 1, 8)]),
        ([("How are you?", 3, 4)], [("Hello there.", 0, 3), ("I am fine.", 4, 10)]),
        ([("Hello there. How are you? I am fine. Bye.", 0, 4)], []),
    ],
)
def test_text_that_no_segment_holds_is_there_once_where_it_belongs(
    held: list[tuple[str, float, float]], found: list[tuple[str, float, float]]
) -> None:
    heard = told(read({"text": WHOLE, "segments": [segment(*each) for each in held]}))
    assert sorted(heard, key=lambda each: each[1]) == heard
    assert [each for each in heard if each not in held] == found


def test_text_that_a_segment_lacks_is_put_into_it() -> None:
    heard = read({"text": WHOLE, "segments": [segment("Hello there. I am fine.", 0, 9)]})
    assert told(heard) == [(WHOLE, 0, 9)]
    spelled = [segment("It costs 25%", 0, 1), segment("really", 4, 5)]
    costs = read({"text": "It costs twenty-five percent — really.", "segments": spelled})
    assert told(costs) == [("It costs 25%", 0, 1), ("really", 4, 5)]


def test_characters_that_no_segment_holds_are_there_in_scripts_without_spaces() -> None:
    held = [segment("今天天气", 0, 1), segment("走吧", 4, 5)]
    heard = read({"text": "今天天气很好。我们走吧", "segments": held})
    assert told(heard)[1] == ("很好。我们", 1, 4)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32), st.sampled_from([5, 60, 600]), st.sampled_from([0.1, 0.5]))
def test_whatever_segments_are_missing_the_text_is_there_once(
    seed: int, said: int, share: float
) -> None:
    random = Random(seed)
    words = [f"w{int(random.paretovariate(0.4))}" for _ in range(said)]
    held = [
        segment(" " + " ".join(words[at : at + 5]), at, at + 5)
        for at in range(0, said, 5)
        if random.random() > share
    ]
    heard = read({"text": " ".join(words), "segments": held}, float(said))
    assert " ".join(each.text for each in heard.segments).split() == words


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


@settings(max_examples=40, deadline=None)
@given(
    VALUES | st.fixed_dictionaries({"text": VALUES, "segments": ITEMS, "words": ITEMS}),
    st.floats(0.1, 1e6),
)
@example({"segments": [{"text": "00000"}]}, 769908.493807156)
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
