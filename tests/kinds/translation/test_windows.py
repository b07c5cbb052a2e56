"""Windows hold every line once, in order, and end with a sentence where one ends in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sttbatch.kinds.translation.windows import (
    LINES,
    MOST_LINES,
    MOST_TOKENS,
    Line,
    window_tokens,
    windows_of,
)

TEXTS = st.sampled_from(["so it was", "and so on.", "Нет!", "она сказала:", "«Да.»", "好。", ""])


def lines(*texts: str, pauses: dict[int, float] | None = None) -> list[Line]:
    return [
        Line(number, text, 2.0, (pauses or {}).get(number, 0.1))
        for number, text in enumerate(texts, 1)
    ]


@given(st.lists(TEXTS, max_size=300))
def test_every_line_is_in_one_window(texts: list[str]) -> None:
    all_lines = lines(*texts)
    windows = windows_of(all_lines)
    assert [line for window in windows for line in window] == all_lines
    assert all(1 <= len(window) <= MOST_LINES for window in windows)


def ends(texts: list[str], **pauses: dict[int, float]) -> list[int]:
    return [window[-1].id for window in windows_of(lines(*texts, **pauses))]


def test_a_window_ends_with_a_sentence() -> None:
    texts = ["and"] * 120
    texts[44] = "it ends. "
    texts[99] = "« Voilà ! »"
    assert ends(texts) == [45, 100, 120]
    # Before 40 lines if none ends from there to 60.
    texts = ["and"] * 90
    texts[29] = 'so it was."'
    assert ends(texts)[0] == 30


def test_a_window_without_a_sentence_ends_with_the_longest_pause() -> None:
    assert ends(["and"] * 100, pauses={50: 2.0, 70: 3.0})[0] == 50


def test_a_short_rest_is_no_window_of_its_own() -> None:
    assert ends(["and"] * LINES) == [LINES]


def test_windows_fit_a_short_context() -> None:
    assert window_tokens(131_072) == MOST_TOKENS
    assert 100 < window_tokens(4096) < 1000
    assert window_tokens(1024) == 100
    many = lines(*["очень длинная строка"] * 60)
    assert len(windows_of(many, 100)) > len(windows_of(many))


def test_long_lines_make_short_windows() -> None:
    windows = windows_of(lines(*["очень длинная строка " * 150] * 10))
    assert len(windows) == 4
    assert len(windows_of(lines("слово " * 100_000))) == 1
