"""Translations and summaries by a real, small chat model, whose answers are poor.

What holds for any model holds for it: nothing wrong is written, what is missing is named, and what
is booked is what the server says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysubs2
import pytest

from tests.cli.working import rows
from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell, load

from . import small_model

SAID = (
    "Good morning, everyone.",
    "We have 14 orders that are late.",
    "The warehouse in Leeds is closed until Friday.",
    "Anna will call the supplier today.",
    "Let us decide about the new contract.",
    "It costs 2500 pounds a month.",
    "I think that we should sign it.",
    "Who is against it?",
    "Then we sign it on the 12th of May.",
    "Peter prepares the budget for 2027.",
    "The printer on the second floor is broken again.",
    "We met 35 customers last week.",
)
TRANSLATED_S, LINES = 130.0, 30
SUMMARIZED_S, SEGMENTS = 240.0, 50
BRIEF = ("--style", "brief")
PRICES = {"STTBATCH_CHAT_PRICE_IN": "100", "STTBATCH_CHAT_PRICE_OUT": "1000"}
BOOKED = """SELECT sum(quantity - generated), sum(generated), sum(cost) FROM requests
            WHERE unit = 'tokens'"""


@pytest.fixture(scope="module")
def server() -> Iterator[small_model.SmallModelServer]:
    small_model.require()
    with small_model.SmallModelServer().serving() as running:
        yield running


@pytest.fixture
def asking(shell: Shell, server: small_model.SmallModelServer) -> Shell:
    """Asks the small model, once recordings are transcribed by the stand-in of an endpoint."""
    server.usages.clear()
    shell.extra |= {**PRICES, "STTBATCH_CHAT_MODEL": small_model.NAME}
    shell.extra["STTBATCH_CHAT_CONTEXT"] = str(small_model.CONTEXT_TOKENS)
    return shell


def speech(shell: Shell, folder: Path, duration_s: float) -> Path:
    """A recording whose transcript was corrected by hand, so that it has English sentences."""
    folder.mkdir()
    path = folder / "monday.flac"
    make_recording(path, duration_s=duration_s, sample_rate=8_000, channels=1)
    assert shell.transcribe(path, "-f", "srt").code == 0
    subtitles = pysubs2.load(str(path.with_suffix(".srt")))
    for number, event in enumerate(subtitles):
        event.text = SAID[number % len(SAID)]
    subtitles.save(str(path.with_suffix(".srt")))
    return path


def ask(shell: Shell, server: small_model.SmallModelServer, *arguments: str | Path) -> Any:
    """The result of a command that knows no other endpoint."""
    base_url = shell.extra.get("STTBATCH_BASE_URL")
    shell.extra["STTBATCH_BASE_URL"] = server.base_url
    try:
        result = shell.run(*arguments, "--no-transcribe", "--log-format", "json")
    finally:
        shell.extra.pop("STTBATCH_BASE_URL")
        if base_url is not None:
            shell.extra["STTBATCH_BASE_URL"] = base_url
    assert "Traceback" not in result.err
    return result


def figures(text: str) -> set[str]:
    return set(re.findall(r"\d{2,}", text))


def assert_booked_as_reported(shell: Shell, server: small_model.SmallModelServer) -> None:
    ((prompt, generated, cost),) = rows(shell, BOOKED)
    asked = [each["prompt_tokens"] for each in server.usages]
    written = [each["completion_tokens"] for each in server.usages]
    assert (prompt, generated) == (sum(asked), sum(written))
    assert cost == pytest.approx((100 * sum(asked) + 1000 * sum(written)) / 1e6)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_translation_has_every_line_at_its_time_or_names_it(
    asking: Shell, server: small_model.SmallModelServer, cloudru: CloudRu, tmp_path: Path
) -> None:
    talk = speech(asking, tmp_path / "talks", TRANSLATED_S)
    sent = len(cloudru.received)
    translate = ("translate", talk, "--to", "en", "-f", "srt,json")
    result = ask(asking, server, *translate)
    source, target = (pysubs2.load(str(talk.with_suffix(end))) for end in (".srt", ".en.srt"))
    assert len(source) >= LINES
    assert [(each.start, each.end) for each in target] == [
        (each.start, each.end) for each in source
    ]
    segments = load(talk.with_suffix(".en.json"))["segments"]
    kept = [each for each in segments if each.get("translated") is False]
    assert result.code == int(bool(kept)), result.err
    assert all(each["text"] == each["source_text"] for each in kept)
    if kept:
        assert f"{len(kept)} line{'s are' * (len(kept) > 1) or ' is'} not translated" in result.err
    beside = ["", *(each["source_text"] for each in segments), ""]
    for before, segment, after in zip(beside, segments, beside[2:], strict=False):
        own, said = figures(segment["source_text"]), figures(segment["text"])
        assert own <= said, segment
        assert not (said - own) & (figures(before) | figures(after)), segment
    assert_booked_as_reported(asking, server)
    asked = len(server.usages)
    again = ask(asking, server, *translate)
    assert again.code == result.code
    assert len(server.usages) == asked
    assert len(cloudru.received) == sent


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_statement_of_a_summary_is_about_segments_that_say_it(
    asking: Shell, server: small_model.SmallModelServer, tmp_path: Path
) -> None:
    talk = speech(asking, tmp_path / "talks", SUMMARIZED_S)
    asking.extra["STTBATCH_CHAT_CONTEXT"] = "2048"
    short = ask(asking, server, "summarize", talk, *BRIEF)
    assert short.code == 2, short.err
    assert "reads 2048 tokens at once" in short.err
    assert server.usages == []
    asking.extra["STTBATCH_CHAT_CONTEXT"] = str(small_model.CONTEXT_TOKENS)
    result = ask(asking, server, "summarize", talk, *BRIEF)
    written = load(talk.with_suffix(".summary.json"))
    subtitles = pysubs2.load(str(talk.with_suffix(".srt")))
    assert len(subtitles) >= SEGMENTS
    for section in ("points", "decisions", "actions", "questions"):
        for statement in written[section]:
            cited = [subtitles[each] for each in statement["segments"]]
            assert cited
            assert statement["time_s"] == min(each.start for each in cited) / 1000
            said = " ".join(str(value) for value in statement.values() if isinstance(value, str))
            assert figures(said) <= figures(" ".join(each.text for each in cited)), statement
    if not any(written[name] for name in ("points", "decisions", "actions", "questions")):
        assert result.code == 1
    if result.code:
        assert "not summarized: 00:00:0" in result.err
    assert_booked_as_reported(asking, server)
    asked = len(server.usages)
    again = ask(asking, server, "summarize", talk, *BRIEF)
    assert again.code == result.code
    assert len(server.usages) == asked
    # What another one costs is known by now, but for what will have to be asked again.
    other = speech(asking, tmp_path / "others", SUMMARIZED_S + 20)
    expected = ask(asking, server, "summarize", other, *BRIEF, "--dry-run")
    facts = json.loads(expected.err.splitlines()[-1])["would_send"]
    assert len(server.usages) == asked
    ask(asking, server, "summarize", other, *BRIEF)
    assert facts["questions"] == 1
    first = server.usages[asked]
    assert facts["prompt_tokens"] == pytest.approx(first["prompt_tokens"], rel=0.15)
    assert_booked_as_reported(asking, server)
