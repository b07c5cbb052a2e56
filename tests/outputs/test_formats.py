from __future__ import annotations

import html
import json
import re

import pysubs2
import pytest
from msgspec.structs import replace

from sttbatch.core.models import ChunkSummary, Gap, GapReason, Segment, Word
from sttbatch.core.options import OUTPUT_FORMATS
from sttbatch.outputs.formats import FORMATS
from tests.outputs.examples import document, saying, text

MARKUP = r"a {b} {\an8}c <i>d</i> e\Nf \h g\n \\ {unclosed } & &amp; 1 < 2 --> 3"
MISSING = Gap(300.0, 600.0, GapReason.STILL_MISSING, "no answer")


def test_every_format_that_can_be_asked_for_has_a_function() -> None:
    assert tuple(FORMATS) == OUTPUT_FORMATS


def shown(subtitles: str) -> list[str]:
    """The words of each cue, parted without a subtitle library's help."""
    blocks = subtitles.removeprefix("WEBVTT\n\n").strip().split("\n\n")
    return [" ".join(block.split("\n")[2:]) for block in blocks]


def test_txt_breaks_paragraphs_at_pauses_only() -> None:
    segments = [
        Segment("One.", 0.0, 1.0),
        Segment("Two.", 3.0, 4.0),
        Segment("", 4.0, 5.0),
        Segment("Three.", 6.1, 7.0),
    ]
    assert text("txt", document(segments)) == "One. Two.\n\nThree.\n"


def test_txt_names_missing_stretches_in_place_and_no_silence() -> None:
    segments = [Segment("Before.", 298.0, 300.0), Segment("After.", 600.0, 601.0)]
    silence = Gap(601.0, 700.0, GapReason.NO_SPEECH)
    cut = Gap(700.2, 700.4, GapReason.TRUNCATED)
    assert text("txt", document(segments, [cut, silence, MISSING])) == (
        "Before.\n\n[not transcribed: 00:05:00 - 00:10:00, no answer]\n\nAfter.\n\n"
        "[not transcribed: 00:11:40 - 00:11:41]\n"
    )


def test_txt_joins_chinese_without_spaces() -> None:
    segments = [Segment("你好。", 0, 1), Segment("世界。", 1, 2), Segment("OK 안녕", 2, 3)]
    assert (
        text("txt", document([*segments, Segment("안녕", 3, 4)])) == "你好。世界。 OK 안녕 안녕\n"
    )


def test_an_empty_transcript_gives_valid_files() -> None:
    empty = document([])
    assert text("txt", empty) == ""
    assert text("srt", empty) == ""
    assert text("vtt", empty).strip() == "WEBVTT"
    assert text("tsv", empty) == "start\tend\ttext\n"
    assert json.loads(text("json", empty))["segments"] == []


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
def test_control_characters_are_dropped_and_breaks_become_spaces(name: str) -> None:
    made = text(name, saying("a\tb\r\nc\x1b[31m\x00d\x9b\u2028e\x85f\ufdd0 \ud800"))
    assert "a b c[31md e f \ufffd" in made
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", made)


def test_tsv_is_milliseconds() -> None:
    made = document([Segment("Hi there", 0.0, 1.2345), Segment("", 2, 3)], [MISSING])
    assert text("tsv", made) == (
        "start\tend\ttext\n0\t1234\tHi there\n"
        "300000\t600000\t[not transcribed: 00:05:00 - 00:10:00, no answer]\n"
    )


def test_srt_keeps_what_looks_like_markup() -> None:
    made = text("srt", saying(MARKUP))
    assert " ".join(shown(made)) == MARKUP
    read = pysubs2.SSAFile.from_string(made, keep_html_tags=True)
    assert " ".join(event.text.replace(r"\N", " ") for event in read) == MARKUP.replace(r"\N", " ")


def test_vtt_escapes_what_looks_like_markup() -> None:
    made = text("vtt", saying(MARKUP))
    assert " ".join(map(html.unescape, shown(made))) == MARKUP
    lines = made.splitlines()
    assert all(line.count("-->") == (re.match(r"\d\d:\d\d:", line) is not None) for line in lines)
    assert "<" not in made


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_show_a_missing_stretch_for_five_seconds(name: str) -> None:
    made = text(name, document([Segment("After.", 600.0, 601.5)], [MISSING]))
    note, after = pysubs2.SSAFile.from_string(made)
    assert (note.start, note.end) == (300_000, 305_000)
    assert note.plaintext.replace("\n", " ") == (
        "[not transcribed: 00:05:00 - 00:10:00, no answer]"
    )
    assert (after.start, after.end) == (600_000, 601_500)


def test_json_has_whispers_shape_and_rounds_to_milliseconds() -> None:
    made = document(
        [Segment("It", 0.00049, 6.90001, (Word("It", -0.0001, 0.2),)), Segment("is", 7, 8)],
        [MISSING],
        words=True,
    )
    chunks = (ChunkSummary(0, 0.0, 8.00049, cached=True, status="ok"),)
    made = replace(made, transcript=replace(made.transcript, chunks=chunks, language=None))
    assert json.loads(text("json", made)) == {
        "source": "talk.mp3",
        "sha256": "ab" * 32,
        "duration": 600.0,
        "language": None,
        "model": "whisper",
        "engine": "cloudru",
        "text": "It is",
        "segments": [
            {
                "id": 0,
                "start": 0.0,
                "end": 6.9,
                "text": "It",
                "words": [{"word": "It", "start": 0.0, "end": 0.2}],
            },
            {"id": 1, "start": 7.0, "end": 8.0, "text": "is"},
        ],
        "chunks": [{"index": 0, "start": 0.0, "end": 8.0, "cached": True, "status": "ok"}],
        "gaps": [{"start": 300.0, "end": 600.0, "reason": "still_missing", "detail": "no answer"}],
    }
    assert "-0.0" not in text("json", made)


def test_json_leaves_words_out_unless_asked_for() -> None:
    assert "words" not in text("json", document())


def test_json_survives_a_name_that_is_not_utf8() -> None:
    made = replace(document(), source="caf\udce9.mp3")
    assert json.loads(text("json", made))["source"] == "caf\ufffd.mp3"
