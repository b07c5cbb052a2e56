# ruff: noqa: RUF001 - Russian texts
"""Words that rules replace: which, in what case, and what becomes of word times."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.core.models import DroppedSegment, Evidence, Segment, Transcript, Word
from sttbatch.outputs.replacements import Replacement, read_rules, with_rules


def transcript(text: str, words: str = "") -> Transcript:
    """One segment; its words, a space between them, have a second each."""
    timed = tuple(Word(word, at, at + 1.0) for at, word in enumerate(words.split()))
    return Transcript(100.0, "ru", (Segment(text, 0.0, 100.0, timed),), ())


def replaced(rules: str, text: str) -> str:
    found, _ = with_rules(transcript(text), rules)
    return found.segments[0].text


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        pytest.param("кот => пёс", "кот, который: Кот. КОТ", "пёс, который: Пёс. ПЁС", id="case"),
        pytest.param("клауд ру => Cloud.ru", "Клауд ру и клауд ру", "Cloud.ru и Cloud.ru", id="as"),
        pytest.param("Teh => The", "teh Teh TEH", "the The THE", id="the case of both"),
        pytest.param("СКУД => Cloud", "СКУД и скуд", "Cloud и cloud", id="an acronym"),
        pytest.param("a b => x\na b c => y\nb => z", "a b c a b b", "y x z", id="longest first"),
        pytest.param("a => b\nb => a", "a b", "b a", id="never twice"),
        pytest.param("нью йорк => Нью-Йорк", "нью, йорк; нью  йорк", "нью, йорк; Нью-Йорк", id="p"),
        pytest.param("e-mail => письмо", "e-mails, e-mail", "e-mails, письмо", id="hyphen"),
        pytest.param("東京 => 京都", "私は東京に行く", "私は京都に行く", id="no spaces"),
        pytest.param("नमस्ते => नमस्कार", "नमस्ते जी", "नमस्कार जी", id="marks in words"),
        pytest.param("йога => x", "и\u0306ога", "x", id="decomposed"),
    ],
)
def test_whole_words_and_phrases(rules: str, text: str, expected: str) -> None:
    assert replaced("\n".join(sorted(rules.split("\n"))), text) == expected


@pytest.mark.parametrize(
    ("rules", "text", "words", "expected"),
    [
        pytest.param(
            "нью йорк => Нью-Йорк", "В нью йорк, да", "В нью йорк, да",
            [("В", 0, 1), ("Нью-Йорк,", 1, 3), ("да", 3, 4)], id="two become one",
        ),
        pytest.param(
            "оао => а бб", "в ОАО.", "в ОАО", [("в", 0, 1), ("А", 1, 4 / 3), ("ББ", 4 / 3, 2)],
            id="one becomes two, without the punctuation that words lack",
        ),
        pytest.param(
            "東京 => 大阪", "東京に", "東 京 に", [("大阪", 0, 2), ("に", 2, 3)], id="characters",
        ),
        pytest.param("a => x y\nb => z", "a-b c", "a-b c",
            [("x", 0, 0.25), ("y-z", 0.25, 1), ("c", 1, 2)], id="two edits in one word",
        ),
        pytest.param("c++ => C plus", "in C++, c++.", "in C++ c++.",
            [("in", 0, 1), ("C", 1, 1.2), ("plus", 1.2, 2), ("C", 2, 2 + 1 / 6),
             ("plus.", 2 + 1 / 6, 3)], id="marks that words have"),
        pytest.param("c++ => C plus", "in C++", "in C", [("in", 0, 1), ("C", 1, 1.2),
            ("plus", 1.2, 2)], id="marks that words lack"),
        pytest.param("— => -", "a — b", "a — b", [("a", 0, 1), ("-", 1, 2), ("b", 2, 3)],
            id="a mark that is a word"),
        pytest.param("a! => x\n!b => y", "a! !b", "a!b", [("xy", 0, 1)],
            id="a mark between two edits"),
        pytest.param("b => x", "a b", "b b c", [("x", 0, 1), ("x", 1, 2), ("c", 2, 3)],
            id="words that say something else than the text",
        ),
    ],
)  # fmt: skip
def test_words_follow_and_share_the_time(
    rules: str, text: str, words: str, expected: list[tuple[str, float, float]]
) -> None:
    found, _ = with_rules(transcript(text, words), rules)
    timed = found.segments[0].words
    assert [word.text for word in timed] == [text for text, _, _ in expected]
    assert [time_s for word in timed for time_s in (word.start_s, word.end_s)] == pytest.approx(
        [time_s for _, *times in expected for time_s in times]
    )


def test_what_changed_is_counted_by_rule() -> None:
    spoken = transcript("a b a c")
    dropped = (DroppedSegment(Segment("a", 0.0, 1.0), (Evidence.NO_SPEECH,)),)
    spoken = Transcript(100.0, "en", spoken.segments, (), dropped=dropped)
    found, changes = with_rules(spoken, "a => x\nb => b\nc => y")
    assert changes == (Replacement("a", "x", 2), Replacement("c", "y", 1))
    assert found.dropped[0].segment.text == "x"


def test_what_no_rule_changes_stays_the_same() -> None:
    spoken = transcript("a b", "a b")
    found, changes = with_rules(spoken, "x => y")
    assert (found.segments[0] is spoken.segments[0], changes) == (True, ())


def test_a_file_of_rules_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "rules.txt"
    path.write_text("\ufeff# ours\r\nc# =>  C  sharp # a language\r\n\r\na => b\r\nA => b\r\n")
    assert read_rules(path) == "a => b\nc# => C sharp"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wrong", "write `wrong => right`"),
        ("=> right", "write `wrong => right`"),
        ("wrong => # nothing", "write `wrong => right`"),
        ("a => b\0", "control character"),
        ("One => other", "line 1 replaces it by 'two'"),
    ],
)
def test_a_line_that_is_no_rule_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "rules.txt"
    path.write_text(f"one => two\n{line}\n")
    with pytest.raises(UsageError, match=f"rules.txt, line 2: .*{message}"):
        read_rules(path)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not valid UTF-8"):
        read_rules(path)
