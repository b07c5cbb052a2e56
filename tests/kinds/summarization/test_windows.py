"""Windows hold every word of every segment, within their limit, and overlap by whole segments."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.kinds.summarization.windows import OVERLAP, Utterance, halves, windows_of

from .models import said, talk


class Text(NamedTuple):
    """A text of which no part is like another, of a script with or without spaces."""

    number: int
    parted: str
    first: int

    def __str__(self) -> str:
        return self.parted.join(str(100_000 * self.first + n) for n in range(self.number))


COUNTS = st.one_of(st.integers(1, 40), st.integers(300, 900))
TEXTS = st.lists(
    st.builds(Text, COUNTS, st.sampled_from([" ", " слово ", "", "。"]), st.integers(1, 9)),
    max_size=12,
)


@settings(deadline=None)
@given(TEXTS, st.integers(150, 3000))
def test_every_word_is_in_a_window_in_its_place(numbers: list[Text], most: int) -> None:
    texts = [str(each) for each in numbers]
    heard = dict.fromkeys(range(1, len(texts) + 1), (0, 0))
    for window in windows_of(said(*texts), most):
        assert sum(each.tokens for each in window) <= most
        assert [each.id for each in window] == sorted({each.id for each in window})
        for each in window:
            begin, end = heard[each.id]
            text = texts[each.id - 1]
            is_last = text.endswith(each.text)
            at = len(text) - len(each.text) if is_last else text.find(each.text, begin)
            assert 0 <= at <= end + 1
            heard[each.id] = (at, max(at + len(each.text), end))
    assert {number: end for number, (_, end) in heard.items()} == {
        number: len(text) for number, text in enumerate(texts, 1)
    }


def test_windows_of_whole_segments_overlap_by_a_twentieth() -> None:
    utterances = talk(2000)
    windows = list(windows_of(utterances, 4000))
    assert all(each in utterances for window in windows for each in window)
    for window, following in pairwise(windows):
        shared = [each for each in window if each in following]
        assert shared == list(window[-len(shared) :]) == list(following[: len(shared)])
        share = sum(each.tokens for each in shared) / sum(each.tokens for each in window)
        assert 0.6 * OVERLAP < share <= OVERLAP
    # Nearly full, so that there are no more than needed.
    assert all(sum(each.tokens for each in window) > 3900 for window in windows[:-1])


def test_a_few_long_segments_overlap_unless_they_are_too_long() -> None:
    long = "слово " * 60
    (first, second, *_) = windows_of(said(*[long] * 20), 1500)
    assert first[-1] == second[0]
    (first, second, *_) = windows_of(said(*["слово " * 200] * 4), 900)
    assert [each.id for each in (*first, *second)] == [1, 2, 3, 4]


def test_a_segment_longer_than_a_window_is_split_by_words() -> None:
    words = [f"слово{number}" for number in range(3000)]
    utterances = said("начало", " ".join(words), "конец")
    windows = list(windows_of(utterances, 1000))
    assert len(windows) > 5
    parts = [each for window in windows for each in window if each.id == 2]
    assert {(each.start_s, each.end_s) for each in parts} == {(5.0, 10.0)}
    assert [word for part in parts for word in part.text.split() if word not in words] == []
    assert set(" ".join(part.text for part in parts).split()) == set(words)
    first, second = (part.text.split() for part in parts[:2])
    assert first[-1] in second
    assert len(set(first) & set(second)) < 0.1 * len(first)


@settings(deadline=None)
@given(TEXTS.filter(bool))
def test_halves_lose_nothing(numbers: list[Text]) -> None:
    texts = [str(each) for each in numbers]
    parts = halves(said(*texts))
    assert len(parts) <= 2
    joined = "".join(each.text for part in parts for each in part)
    assert joined.replace(" ", "") == "".join(texts).replace(" ", "")


def test_halves_have_about_as_many_tokens() -> None:
    def tokens(window: tuple[Utterance, ...]) -> int:
        return sum(each.tokens for each in window)

    first, second = halves(talk(100))
    assert 0.9 < tokens(first) / tokens(second) < 1.1
    first, second = halves(said("слово " * 1000))
    assert {each.id for each in (*first, *second)} == {1}
    assert 0.6 < tokens(first) / tokens(second) < 1.5
    assert len(halves(said("слово"))) == 1
