# ruff: noqa: RUF001 - Chinese has commas of its own
from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.models import Segment, Word
from sttbatch.outputs.line_breaking import atoms, lines
from sttbatch.outputs.subtitles import Cue, cues, segment_cues
from sttbatch.outputs.unicode_text import clusters, columns, plain
from tests.outputs.examples import document

TEXTS = st.text(
    st.sampled_from("abc де.,!?-—\n\t {\\<你好。「éǘ👩\u200d🚀안\xa0"), max_size=300
) | st.text(max_size=80)


@st.composite
def spoken(draw: st.DrawFn) -> list[Segment]:
    """Segments one after the other, some with word times, some of whose words are off."""
    found: list[Segment] = []
    now = 0.0
    for text in draw(st.lists(TEXTS, max_size=5)):
        start = now + draw(st.floats(0, 3))
        end = start + draw(st.floats(1, 40))
        words: list[Word] = []
        said = start
        for word in text.split() if draw(st.booleans()) else []:
            until = said + draw(st.floats(0, 2))
            words.append(Word(word.strip(".,"), said, until))
            said = until
        found.append(Segment(text, start, end, tuple(words)))
        now = end
    return found


def words_of(texts: list[str]) -> str:
    return "".join("".join(plain(text).split()) for text in texts)


@settings(max_examples=100, deadline=None)
@given(spoken(), st.integers(1, 60), st.integers(1, 4))
def test_no_word_is_lost_and_every_cue_fits(
    segments: list[Segment], width: int, max_lines: int
) -> None:
    made = document(segments, max_line_width=width, max_lines=max_lines)
    found = cues(made)
    assert words_of(["".join(cue.lines) for cue in found]) == words_of(
        [segment.text for segment in segments]
    )
    assert all(1 <= len(cue.lines) <= max_lines for cue in found)
    assert all(0 < len(line) <= width for cue in found for line in cue.lines)
    assert all(line == line.strip(" ") for cue in found for line in cue.lines)
    assert all(cue.start_ms < cue.end_ms for cue in found)
    assert all(cue.end_ms <= later.start_ms for cue, later in pairwise(found))


@settings(max_examples=100, deadline=None)
@given(spoken(), st.integers(5, 60))
def test_cues_stay_within_their_segment(segments: list[Segment], width: int) -> None:
    for segment in document(segments).spoken():
        for cue in segment_cues(segment, width, 2):
            assert round(segment.start_s * 1000) <= cue.start_ms <= cue.end_ms
            assert cue.end_ms <= round(segment.end_s * 1000)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(2, 30))
def test_lines_are_no_wider_than_asked(text: str, width: int) -> None:
    pieces = atoms(plain(text), width)
    assert all(columns(piece.text) <= width for piece in pieces)
    assert all(columns(line) <= width for line in lines(pieces, width) if pieces)


def one(text: str, width: int = 42) -> tuple[str, ...]:
    return lines(atoms(text, width), width)


def test_lines_break_at_the_best_place_near_the_middle() -> None:
    assert one("This is the first sentence. And this is the second one.") == (
        "This is the first sentence.",
        "And this is the second one.",
    )
    assert one("When the bell rings at noon, everybody leaves the room.") == (
        "When the bell rings at noon,",
        "everybody leaves the room.",
    )
    assert one("she wanted to leave early but nobody would drive her") == (
        "she wanted to leave early",
        "but nobody would drive her",
    )


def test_a_dash_stays_on_the_line_that_it_follows() -> None:
    assert one("Хорошо — сказал он", 9) == ("Хорошо —", "сказал он")


def test_a_long_word_is_cut_and_accents_stay_on_their_letters() -> None:
    assert one("a" * 50, 42) == ("a" * 42, "a" * 8)
    assert one("e\u0301" * 4, 3) == ("e\u0301", "e\u0301", "e\u0301", "e\u0301")
    assert clusters("👩\u200d🚀e\u0301") == ["👩\u200d🚀", "e\u0301"]


def test_chinese_is_broken_without_spaces_and_punctuation_ends_lines() -> None:
    assert one("今天我们讨论历史，明天再说。", 18) == ("今天我们讨论历史，", "明天再说。")
    assert all(not line.startswith("。") for line in one("一二三四。五六七八。", 8))


UNSPACED = {
    "th": (
        "สวัสดีครับวันนี้เราจะพูดถึงเรื่องประวัติศาสตร์ของประเทศไทยและวัฒนธรรมที่น่าสนใจมากเป็นเวลานานแล้ว",
        (
            "สวัสดี ครับ วัน นี้ เรา จะ พูด ถึง เรื่อง ประวัติศาสตร์ ของ ประเทศไทย และ วัฒนธรรม ที่ น่า "
            "สนใจ มาก เป็น เวลา นาน แล้ว"
        ),
    ),
    "lo": ("ພາສາລາວແມ່ນພາສາທາງການຂອງປະເທດລາວ", "ພາສາ ລາວ ແມ່ນ ພາສາ ທາງ ການ ຂອງ ປະ ເທດ ລາວ"),
    "km": ("ភាសាខ្មែរជាភាសាផ្លូវការរបស់ប្រទេសកម្ពុជា", "ភាសាខ្មែរ ជា ភាសាផ្លូវការ របស់ ប្រទេស កម្ពុជា"),
    "zh": ("今天我们讨论中国历史明天再说", "今天 我们 讨论 中国 历史 明天 再 说"),
    "ja": ("ちょっとコーヒーを飲みましょう", "ちょっと コーヒー を 飲み ま しょう"),
}


@pytest.mark.parametrize("language", UNSPACED)
@pytest.mark.parametrize("width", [10, 16, 42])
def test_scripts_without_spaces_are_broken_between_words(language: str, width: int) -> None:
    text, spaced = UNSPACED[language]
    ends = set(accumulate(map(len, spaced.split())))
    broken = set(accumulate(map(len, lines(atoms(text, width), width))))
    too_wide = any(columns(word) > width for word in spaced.split())
    assert broken <= ends or too_wide
    graphemes = set(accumulate(map(len, clusters(text))))
    for narrow in range(1, 6):
        assert set(accumulate(map(len, lines(atoms(text, narrow), narrow)))) <= graphemes or (
            max(map(columns, clusters(text))) > narrow
        )


def test_words_of_scripts_with_spaces_stay_whole_beside_others() -> None:
    assert [atom.text for atom in atoms("我用well-known的API，", 42)] == [
        "我", "用", "well-known", "的", "API，",
    ]  # fmt: skip


def test_word_times_place_cues_and_punctuation_is_no_obstacle() -> None:
    words = (
        Word("Well", 1.0, 1.4),
        Word("ok", 1.5, 2.0),
        Word("Then", 6.0, 6.5),
        Word("go", 6.5, 9.0),
    )
    segment = Segment("“Well, ok.” — Then: go!", 0.0, 10.0, words)
    found = cues(document([segment], max_line_width=13, max_lines=1))
    assert [cue.lines for cue in found] == [("“Well, ok.” —",), ("Then: go!",)]
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(1000, 2000), (6000, 9000)]


def test_chinese_word_times_are_per_character() -> None:
    words = tuple(Word(letter, index, index + 0.9) for index, letter in enumerate("你好世界"))
    found = cues(document([Segment("你好，世界。", 0, 4, words)], max_line_width=6, max_lines=1))
    assert [(cue.start_ms, cue.end_ms, cue.lines[0]) for cue in found] == [
        (0, 1900, "你好，"),
        (2000, 3900, "世界。"),
    ]


def test_word_times_keep_cues_to_seven_seconds() -> None:
    words = tuple(Word(f"w{index}", index * 2.0, index * 2.0 + 1.5) for index in range(10))
    text = " ".join(word.text for word in words)
    found = cues(document([Segment(text, 0, 20, words)]))
    assert len(found) >= 3
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in found)
    lazy = cues(document([Segment("Hm", 0, 60, (Word("Hm", 0, 60),))]))
    assert lazy == [Cue(0, 7000, ("Hm",))]


def test_without_word_times_a_segment_is_shared_out_by_length() -> None:
    found = cues(document([Segment("aaaa bbbb", 0, 8)], max_line_width=4, max_lines=1))
    assert found == [Cue(0, 4000, ("aaaa",)), Cue(4000, 8000, ("bbbb",))]


def test_a_short_cue_stays_on_into_silence_but_not_over_the_next() -> None:
    segments = [Segment("a", 0, 0.1), Segment("b", 0.5, 0.6), Segment("c", 5, 5.1)]
    found = cues(document([*segments, Segment("d", 7.0, 10.0)]))
    assert [(cue.start_ms, cue.end_ms) for cue in found[:3]] == [
        (0, 500),
        (500, 1500),
        (5000, 6000),
    ]


def test_overlapping_and_timeless_segments_still_give_cues_in_order() -> None:
    found = cues(document([Segment("a", 0, 5), Segment("b", 3, 3), Segment("c", 3, 3)]))
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(0, 3000), (3000, 3001), (3001, 4001)]
