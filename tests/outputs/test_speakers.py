"""Who said what, in every format."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.models import Gap, GapReason, Segment, Transcript, Word
from sttbatch.outputs.edited_text import edited_segments
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.speaker_names import checked_name, with_names

from .examples import document, text

CALL = (
    Segment("Hello?", 0.0, 1.0, speaker="1"),
    Segment("Hi <you>, it is me.", 1.2, 3.0, (Word("Hi", 1.2, 1.5),), speaker="2"),
    Segment("It is late.", 3.1, 4.0, speaker="2"),
    Segment("I know.", 3.5, 4.5, speaker="1"),
)
GAP = Gap(10.0, 20.0, GapReason.STILL_MISSING, "500", channel=2)


def written(name: str, **options: int) -> str:
    return text(name, document(CALL, [GAP], **options))


def test_txt_begins_a_paragraph_where_the_speaker_changes() -> None:
    assert written("txt").splitlines() == [
        "1: Hello?",
        "",
        "2: Hi <you>, it is me. It is late.",
        "",
        "1: I know.",
        "",
        "[not transcribed: 00:00:10 - 00:00:20, channel 2, 500]",
    ]


def test_srt_names_the_speaker_of_each_cue() -> None:
    blocks = written("srt").strip().split("\n\n")
    assert [block.split("\n", 2)[2] for block in blocks] == [
        "1: Hello?",
        "2: Hi <you>, it is me.",
        "2: It is late.",
        "1: I know.",
        "[not transcribed: 00:00:10 -\n00:00:20, channel 2, 500]",
    ]


def test_cues_are_shown_at_once_only_where_two_speak_at_once() -> None:
    times = [line.split(" --> ") for line in written("srt").splitlines() if "-->" in line]
    assert times[2] == ["00:00:03,100", "00:00:04,100"]
    assert times[3] == ["00:00:03,500", "00:00:04,500"]


def test_vtt_has_voices_and_escapes_the_rest() -> None:
    subtitles = written("vtt")
    assert "<v 1>Hello?" in subtitles
    assert "<v 2>Hi &lt;you&gt;, it is me." in subtitles


def test_the_name_counts_for_the_width_of_a_line() -> None:
    lines = [line for line in written("srt", max_line_width=12).splitlines() if "-->" not in line]
    assert max(map(len, lines)) <= 12


def test_tsv_keeps_its_three_columns() -> None:
    rows = [line.split("\t") for line in written("tsv").splitlines()]
    assert {len(row) for row in rows} == {3}
    assert rows[2] == ["1200", "3000", "2: Hi <you>, it is me."]


def test_beside_a_long_name_there_is_room_for_words() -> None:
    name = "Anna Maria of the accounting department in the second building"
    said = Segment("They wrote it down, and then they read it aloud again.", 0.0, 5.0, (), name)
    cues = text("srt", document([said])).split("\n\n")
    assert [cue.split("\n")[2:] for cue in cues[:-1]] == [
        [f"{name}: They wrote it down,"],
        [f"{name}: and then they read", "it aloud again."],
    ]


def test_json_names_speakers_and_channels() -> None:
    content = json.loads(written("json"))
    assert [segment["speaker"] for segment in content["segments"]] == ["1", "2", "2", "1"]
    assert content["gaps"][0]["channel"] == 2


NAME = "O'Neill & Анна: №1 (-- \U0001f600)"


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "json"])
def test_a_name_is_shown_as_it_is_and_read_back(name: str) -> None:
    transcript = with_names(Transcript(60.0, "en", CALL, ()), {"1": checked_name(NAME)})
    named = replace(document(CALL), transcript=transcript)
    segments = edited_segments(b"".join(FORMATS[name](named)), name, ["1", "2", NAME])
    assert segments is not None
    assert {(each.speaker, each.text) for each in segments} >= {(NAME, "Hello?"), (NAME, "I know.")}
    assert {each.speaker for each in segments} == {NAME, "2"}


def test_the_longest_name_is_meant() -> None:
    (segment,) = edited_segments(b"Anna: Maria: Hello", "txt", ["Anna", "Anna: Maria"]) or []
    assert (segment.speaker, segment.text) == ("Anna: Maria", "Hello")


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 81, "12", "a\tb", "a\nb", "\x9b", "a\u202eb", "a>", "{a", "\\N"]
)
def test_a_name_that_no_output_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        checked_name(name)


def test_nothing_of_it_where_channels_were_mixed() -> None:
    content = text("json", document(gaps=[Gap(0.0, 9.0, GapReason.NO_SPEECH)]))
    assert "speaker" not in content
    assert "channel" not in content
