"""What people read: txt with times, Markdown, docx; and RTTM."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import pytest
from docx.api import Document as ReadDocx
from docx.oxml.ns import qn
from markdown_it import MarkdownIt
from msgspec.structs import replace

from sttbatch.core.models import DroppedSegment, Evidence, Gap, GapReason, Hallucinations, Segment
from sttbatch.core.options import OutputOptions
from sttbatch.outputs.document import Document, file_date
from sttbatch.outputs.edited_text import edited_segments
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.made_from import made_from
from tests.outputs.examples import document, saying, text

GAP = Gap(300.0, 600.0, GapReason.STILL_MISSING, "no answer")
CALL = (
    Segment("Добрый день.", 0.0, 1.0, speaker="1"),
    Segment("Здравствуйте.", 1.2, 3.0, speaker="2"),
    Segment("Это Анна.", 3.2, 4.0, speaker="2"),
    Segment("Я знаю.", 3.5, 4.5, speaker="1"),
    Segment("Слушаю.", 724.9, 730.0, speaker="1"),
)
MARKUP = (
    "# no *title* _here_ `x` [a](http://b) ![i](j) <b>bold</b> &amp; &copy; | ~~no~~ $5$ ^2 \\n \\ "
    "1. - + > ``` --- === http://example.org/a_b_c <http://c> a*b*c **d** __e__ ~f~"
)


def call(language: str = "ru") -> Document:
    made = document(CALL, [GAP])
    return replace(
        made, source="a/b/звонок_1.mp3", transcript=replace(made.transcript, language=language)
    )


def parsed(markdown: str) -> list[tuple[str, str]]:
    """By kind of block, the text that is shown."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        (
            opening.type.removesuffix("_open"),
            "".join(
                child.content for child in block.children or () if not child.type.endswith("_close")
            ),
        )
        for opening, block in pairwise(tokens)
        if block.type == "inline"
    ]


def paragraphs_of(content: bytes) -> list[str]:
    return [each.text for each in ReadDocx(BytesIO(content)).paragraphs]


def test_txt_has_times_if_asked_for() -> None:
    assert text("txt", document(CALL, [GAP], timestamps=True)).splitlines() == [
        "[00:00:00] 1: Добрый день.",
        "",
        "[00:00:01] 2: Здравствуйте. Это Анна.",
        "",
        "[00:00:03] 1: Я знаю.",
        "",
        "[not transcribed: 00:05:00 - 00:10:00, no answer]",
        "",
        "[00:12:04] Слушаю.",
    ]


def test_one_who_speaks_without_a_pause_gets_a_paragraph_a_minute() -> None:
    sentences = [Segment(f"Раз {at}.", at, at + 10.0) for at in range(0, 200, 10)]
    made = text("txt", document(sentences, timestamps=True))
    assert re.findall(r"^\[(.*?)\]", made, re.MULTILINE) == [
        "00:00:00",
        "00:01:00",
        "00:02:00",
        "00:03:00",
    ]
    endless = [replace(each, text="раз") for each in sentences]
    made = text("txt", document(endless, timestamps=True))
    assert re.findall(r"^\[(.*?)\]", made, re.MULTILINE) == ["00:00:00", "00:02:00"]
    assert len(text("txt", document(endless)).splitlines()) == 1


def test_an_edited_txt_tells_the_times_of_its_paragraphs() -> None:
    made = text("txt", document(CALL, [GAP], timestamps=True)).replace("Анна", "Ольга")
    read = edited_segments(made.encode(), "txt", ["1", "2"])
    assert read is not None
    assert [(each.speaker, each.text, each.start_s, each.end_s) for each in read[:3]] == [
        ("1", "Добрый день.", 0.0, 1.0),
        ("2", "Здравствуйте. Это Ольга.", 1.0, 3.0),
        ("1", "Я знаю.", 3.0, 724.0),
    ]
    assert (read[3].text, read[3].start_s) == ("Слушаю.", 724.0)
    assert read[3].end_s > 1e6


def test_markdown_is_a_title_facts_and_paragraphs() -> None:
    assert text("md", call()) == (
        "# звонок\\_1.mp3\n"
        "\n"
        "Длительность: 00:12:10 · Язык: ru · Модель: whisper\n"
        "\n"
        "[00:00:00] **1:** Добрый день.\n"
        "\n"
        "[00:00:01] **2:** Здравствуйте. Это Анна.\n"
        "\n"
        "[00:00:03] **1:** Я знаю.\n"
        "\n"
        "[00:05:00] *\\[not transcribed: 00:05:00 - 00:10:00, no answer\\]*\n"
        "\n"
        "[00:12:04] Слушаю.\n"
    )


@pytest.mark.parametrize("language", ["en", "English", None])
def test_facts_are_named_in_english_elsewhere(language: str | None) -> None:
    made = document(CALL)
    made = replace(made, transcript=replace(made.transcript, language=language))
    known = " · Language: en" if language else ""
    assert text("md", made).splitlines()[2] == f"Length: 00:12:10{known} · Model: whisper"


@pytest.mark.parametrize(
    "said", [MARKUP, "[x]: http://y", "***", "a\\", "\\*", "`", "*[", "<!-- -->"]
)
def test_text_stays_text_in_markdown(said: str) -> None:
    made = text("md", replace(saying(said), source=said, model=said))
    title, facts, paragraph = parsed(made)
    shown = said.rpartition("/")[2]
    assert title == ("heading", shown)
    assert facts == ("paragraph", f"Length: 00:00:02 · Language: en · Model: {said}")
    assert paragraph == ("paragraph", f"[00:00:00] {said}")


def test_docx_has_the_same_content_in_styles() -> None:
    made = b"".join(FORMATS["docx"](call()))
    word = ReadDocx(BytesIO(made))
    assert paragraphs_of(made) == [
        "звонок_1.mp3",
        "Длительность: 00:12:10 · Язык: ru · Модель: whisper",
        "[00:00:00] 1: Добрый день.",
        "[00:00:01] 2: Здравствуйте. Это Анна.",
        "[00:00:03] 1: Я знаю.",
        "[00:05:00] [not transcribed: 00:05:00 - 00:10:00, no answer]",
        "[00:12:04] Слушаю.",
    ]
    styles = [each.style.name for each in word.paragraphs if each.style is not None]
    assert styles == ["Title", "Subtitle", *["Normal"] * 5]
    runs = [[run.style.name for run in each.runs] for each in word.paragraphs]
    assert runs[2] == ["Time", "Strong", "Default Paragraph Font"]
    assert runs[5] == ["Time", "Emphasis"]
    assert [each.get(qn("w:val")) for each in word.styles.element.iter(qn("w:lang"))] == ["ru"]
    properties = word.core_properties
    assert (properties.title, properties.language, properties.author) == ("звонок_1.mp3", "ru", "")


@pytest.mark.parametrize(
    ("language", "attributes"),
    [("Chinese", {"eastAsia": "zh"}), ("pt-BR", {"val": "pt"}), ("pig latin", {}), (None, {})],
)
def test_docx_names_its_language_as_word_knows_it(
    language: str | None, attributes: dict[str, str]
) -> None:
    made = document(CALL[:1])
    made = replace(made, transcript=replace(made.transcript, language=language))
    word = ReadDocx(BytesIO(b"".join(FORMATS["docx"](made))))
    (found,) = word.styles.element.iter(qn("w:lang"))
    assert dict(found.attrib) == {qn(f"w:{name}"): code for name, code in attributes.items()}


def test_docx_says_nothing_about_when_it_was_made() -> None:
    made = b"".join(FORMATS["docx"](call()))
    with ZipFile(BytesIO(made)) as archive:
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"dcterms" not in archive.read("docProps/core.xml").partition(b"<dc:title")[2]


def test_docx_takes_any_text() -> None:
    said = "a\x00b\ufffe\uffff\ud800<w:p>&amp; \U0001f469\u200d\U0001f467 你好"
    made = b"".join(FORMATS["docx"](replace(saying(said), source=said)))
    assert (
        paragraphs_of(made)[-1] == "[00:00:00] ab\ufffd<w:p>&amp; \U0001f469\u200d\U0001f467 你好"
    )
    assert len(paragraphs_of(b"".join(FORMATS["docx"](document([]))))) == 2


def test_docx_takes_names_and_languages_of_any_length() -> None:
    made = replace(saying("word"), source=f"s3://bucket/{'x' * 300}.mp3", model="m" * 300)
    for language in ("x" * 300, "e\x00n"):
        spoken = replace(made.transcript, language=language)
        word = ReadDocx(BytesIO(b"".join(FORMATS["docx"](replace(made, transcript=spoken)))))
        assert word.paragraphs[0].text == f"{'x' * 300}.mp3"
        assert (word.core_properties.title, word.core_properties.language) == ("x" * 255, "")


def test_a_docx_of_ten_hours_is_made_in_seconds() -> None:
    turns = [Segment("So it is.", at * 4.0, at * 4.0 + 3, (), str(at % 2)) for at in range(9000)]
    begun_s = time.process_time()
    b"".join(FORMATS["docx"](document(turns)))
    # Three on an idle machine; ten times as many when each paragraph looks at all before it.
    assert time.process_time() - begun_s < 20


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice Writer is not installed")
def test_libreoffice_opens_docx(tmp_path: Path) -> None:
    made = b"".join(FORMATS["docx"](call()))
    (tmp_path / "call.docx").write_bytes(made)
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation=file://{tmp_path}/profile", "--headless",
            "--convert-to", "txt:Text (encoded):UTF8", "--outdir", str(tmp_path),
            str(tmp_path / "call.docx"),
        ],
        check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    shown = (tmp_path / "call.txt").read_text("utf-8-sig").splitlines()
    assert shown == paragraphs_of(made)


def test_rttm_has_a_line_for_each_turn() -> None:
    assert text("rttm", call()).splitlines() == [
        "SPEAKER звонок_1 1 0.000 1.000 <NA> <NA> 1 <NA> <NA>",
        "SPEAKER звонок_1 1 1.200 2.800 <NA> <NA> 2 <NA> <NA>",
        "SPEAKER звонок_1 1 3.500 1.000 <NA> <NA> 1 <NA> <NA>",
        "SPEAKER звонок_1 1 724.900 5.100 <NA> <NA> 1 <NA> <NA>",
    ]


@pytest.mark.parametrize(("shown", "turns"), [("drop", 1), ("mark", 1), ("keep", 2)])
def test_rttm_has_no_turn_of_what_is_marked_as_not_spoken(shown: str, turns: int) -> None:
    made = document([Segment("So.", 0.0, 1.0, (), "1")], hallucinations=Hallucinations(shown))
    dropped = DroppedSegment(Segment("Bye.", 4.0, 5.0, (), "1"), (Evidence.NO_SPEECH,))
    made = replace(made, transcript=replace(made.transcript, dropped=(dropped,)))
    assert text("rttm", made).count("SPEAKER ") == turns


def test_rttm_fields_have_no_spaces_and_nobody_has_no_turn() -> None:
    made = document([Segment("Да.", 0.0, 1.0, speaker="Анна Ивановна"), Segment("Нет.", 1.0, 2.0)])
    named = replace(made, source="мой звонок.wav")
    assert text("rttm", named) == (
        "SPEAKER мой_звонок 1 0.000 1.000 <NA> <NA> Анна_Ивановна <NA> <NA>\n"
    )
    assert text("rttm", document()) == ""


def test_people_see_the_day_of_the_file_and_programs_do_not(tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp3"
    talk.touch()
    # At noon it is the same day almost everywhere.
    noon_s = datetime(2026, 3, 8, 12).astimezone().timestamp()
    os.utime(talk, (noon_s, noon_s))
    date = file_date(talk.stat(), ["txt", "md"])
    assert date == "2026-03-08"
    assert file_date(talk.stat(), ["ru.docx"]) == date
    assert file_date(talk.stat(), ["txt", "srt", "json"]) is None
    made = replace(document(), date=date)
    assert "Date of the file: 2026-03-08 · Length: " in text("md", made)
    assert text("txt", made) == text("txt", document())
    options = OutputOptions()
    assert made_from("key", "talk.mp3", options, {}, date) != made_from("key", "talk.mp3", options)
