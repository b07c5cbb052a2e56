"""Errors as they are counted, beside another program's count."""

from __future__ import annotations

import jiwer
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.models import Segment
from sttbatch.kinds.evaluation.spoken_words import spoken_words
from sttbatch.kinds.evaluation.word_errors import (
    LINE_PAIRS,
    LINE_WORDS,
    Comparison,
    ErrorCounts,
    compare,
)


def segments(*lines: str) -> list[Segment]:
    return [Segment(line, 0.0, 0.0) for line in lines]


def compared(said: str, heard: str, language: str | None = None) -> Comparison:
    return compare(
        spoken_words(segments(*said.split("\n")), language),
        spoken_words(segments(*heard.split("\n")), language),
    )


TEXTS = st.lists(st.sampled_from(["один", "два", "три", "four", "five"]), max_size=30)


@settings(max_examples=100, deadline=None)
@given(TEXTS.filter(bool), TEXTS)
def test_errors_are_those_of_jiwer(said: list[str], heard: list[str]) -> None:
    found = compared(" ".join(said), " ".join(heard))
    theirs = jiwer.process_words(" ".join(said), " ".join(heard))
    counts = found.counts
    assert counts.errors == theirs.substitutions + theirs.insertions + theirs.deletions
    assert counts.wer == theirs.wer
    characters = jiwer.process_characters("".join(said), "".join(heard) or " ")
    wrong = characters.substitutions + characters.deletions + characters.insertions * bool(heard)
    assert counts.character_errors == wrong if heard else counts.characters
    # Every word of both is in one line, in order.
    pairs = [pair for line in found.lines for pair in line.pairs]
    assert [word.text for word, _ in pairs if word is not None] == said
    assert [word.text for _, word in pairs if word is not None] == heard
    assert sum(line.errors for line in found.lines) == counts.errors


def test_what_writers_may_choose_is_no_error() -> None:
    said = "It\N{RIGHT SINGLE QUOTATION MARK}s twenty-one, THE ﬁrst — “naïve” Ёж's…"
    assert compared(said, "its twenty one the first naïve ёж s").counts.errors == 2
    assert compared(said, "its twenty one the first naïve ёжs").counts.errors == 0


def test_yo_is_ye_in_russian_alone() -> None:
    assert compared("Всё ещё", "все еще", "russian").counts.errors == 0
    assert compared("Всё ещё", "все еще", "ru").counts.errors == 0
    assert compared("Мёд", "мед", "be").counts.errors == 1


def test_scripts_without_spaces_have_a_word_in_each_character_and_marks_stay() -> None:
    found = compared("今日は良い天気です。", "今日わ良い天気です").counts
    assert (found.words, found.substitutions, found.errors) == (9, 1, 1)
    assert compared("नमस्ते दुनिया", "नमस्ते दुनियो").counts.substitutions == 1
    assert compared("नमस्ते दुनिया", "नमस्ते दुनिया").counts.words == 2


def test_numbers_stay_as_they_are_written() -> None:
    assert compared("in 2024", "in twenty twenty-four").counts.errors == 3


def test_lines_are_those_of_the_reference_and_not_too_long() -> None:
    long = " ".join(f"w{number}" for number in range(2 * LINE_WORDS + 1))
    found = compared(f"one two\n{long}", f"zero one two more {long} end")
    words = [[said.text if said else None for said, _ in line.pairs] for line in found.lines]
    assert words[0] == [None, "one", "two", None]
    assert [len(line) for line in words[1:]] == [LINE_WORDS, LINE_WORDS, 2]
    assert [line.errors for line in found.lines] == [2, 0, 0, 1]


def test_what_a_recogniser_repeats_is_no_line_of_hundreds_of_words() -> None:
    found = compared("thanks\nthe end", "thanks " + 500 * "for watching " + "the end")
    assert max(len(line.pairs) for line in found.lines) == LINE_PAIRS
    assert sum(line.errors for line in found.lines) == found.counts.insertions == 1000


def test_rates_are_of_all_words_together_and_none_without_words() -> None:
    total = compared("a", "b").counts + compared("a b c d e f g h i", "a b c d e f g h i").counts
    assert total.wer == 0.1
    empty = compared("", "a b").counts
    assert (empty.wer, empty.insertions, ErrorCounts().cer) == (None, 2, None)


def test_more_letters_than_a_byte_has_are_counted_too() -> None:
    said = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    assert compared(said, said[1:]).counts.character_errors == 1
