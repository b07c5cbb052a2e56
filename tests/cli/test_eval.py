"""`sttbatch eval`: stored transcripts beside what was said."""

from __future__ import annotations

import json
from pathlib import Path

from tests.shell import Shell, texts

from .working import endpoint_of, record


def test_errors_are_counted_shown_and_nothing_is_sent(shell: Shell, folder: Path) -> None:
    truth = record(folder, 3)
    references = shell.home / "references"
    references.mkdir()
    assert shell.transcribe(folder / "talk-0.wav", folder / "talk-1.wav").code == 0
    sent = len(endpoint_of(shell).received)
    said = texts(truth["talk-0"])
    wrong = [said[0], "other", "more", *said[2:-1]]
    (references / "talk-0.txt").write_text(" ".join(wrong).upper())
    (references / "talk-1.srt").write_text(
        f"1\n00:00:00,000 --> 00:00:09,000\n{' '.join(texts(truth['talk-1']))}\n"
    )
    good = shell.run("eval", references, "--json")
    assert good.code == 0, good.err
    found = json.loads(good.out)
    first, second = (each["results"][0] for each in found["recordings"])
    assert (first["words"], first["substitutions"], first["deletions"], first["insertions"]) == (
        len(wrong), 1, 1, 1,
    )  # fmt: skip
    assert second["wer"] == second["cer"] == 0
    words = first["words"] + second["words"]
    assert (found["all"][0]["words"], found["all"][0]["wer"]) == (words, 3 / words)
    assert found["settings"][0]["facts"]["model"] == "openai/whisper-large-v3"
    (references / "talk-2.txt").write_text("nothing\n")
    some = shell.run("eval", references, folder, "--worst", "1")
    assert some.code == 1
    assert "talk-2.wav: not compared: it has no transcript" in some.err
    lines = some.out.splitlines()
    assert f"of {words} words 1 substituted, 1 deleted, 1 inserted" in some.out
    shown = next(at for at, line in enumerate(lines) if line.startswith("  reference"))
    assert "OTHER" in lines[shown]
    assert said[1] in lines[shown + 1]
    assert "S" in lines[shown + 2]
    assert len(endpoint_of(shell).received) == sent


def test_settings_are_compared_and_what_is_missing_is_sent_on_demand(
    shell: Shell, folder: Path
) -> None:
    truth = record(folder, 2)
    references = shell.home / "references"
    references.mkdir()
    for name, words in truth.items():
        (references / f"{name}.txt").write_text(" ".join(texts(words)))
    refused = shell.run("eval", references, "--transcribe")
    assert refused.code == 2
    sent = shell.run("eval", references, folder, "--transcribe")
    assert sent.code == 0, sent.err
    assert "2 recordings done" in sent.err
    assert len(endpoint_of(shell).received) == 2
    assert not [*folder.glob("*.txt")]
    prompted = shell.transcribe(folder / "talk-0.wav", "--prompt", "names")
    assert prompted.code == 0
    both = shell.run("eval", references, folder)
    assert both.code == 0, both.err
    assert "[1] openai/whisper-large-v3, prompt not set" in both.out
    assert "[2] openai/whisper-large-v3, prompt names" in both.out
    assert "the 1 that all have" in both.out
    assert "[2] - [1]: +0.00 points of WER on 1 recording" in both.out
    assert shell.run("eval", references, "--model", "other").code == 1
    assert len(endpoint_of(shell).received) == 3


def test_an_unchanged_output_is_no_reference(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    assert shell.transcribe(folder).code == 0
    result = shell.run("eval", folder)
    assert (result.code, result.out) == (1, "")
    assert "own output, unchanged" in result.err
    (folder / "talk-0.txt").write_text("corrected\n")
    corrected = shell.run("eval", folder)
    assert corrected.code == 0, corrected.err


def test_a_corrected_output_is_taken_before_those_that_nobody_corrected(
    shell: Shell, folder: Path
) -> None:
    record(folder, 1)
    assert shell.transcribe(folder, "-f", "txt,srt,json").code == 0
    srt = folder / "talk-0.srt"
    srt.write_text(f"{srt.read_text()}\n9\n00:00:09,000 --> 00:00:09,500\nmore\n")
    result = shell.run("eval", folder, "--json")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)["recordings"]
    assert found["reference"] == str(srt)
    assert found["results"][0]["deletions"] == 1
