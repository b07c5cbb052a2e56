# ruff: noqa: RUF001 - Russian names
"""`sttbatch speakers rename`: names in all outputs, in later runs, and in search."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.calls import make_call
from tests.cloudru import HeardWord
from tests.shell import Shell, load, texts

from .working import endpoint_of

FIRST = {"duration_s": 12.0, "silences": ((3.0, 6.0),)}
SECOND = {"duration_s": 9.0, "lead_silence_s": 3.5}
SPLIT = ("--channels", "split", "-f", "txt,srt,vtt,tsv,json")
NAME = "Анна & Ко"


@pytest.fixture
def call(folder: Path) -> tuple[Path, list[list[HeardWord]]]:
    folder.mkdir(exist_ok=True)
    path = folder / "call.wav"
    return path, make_call(path, FIRST, SECOND)


def speakers(path: Path) -> set[str]:
    return {segment["speaker"] for segment in load(path)["segments"]}


def test_names_are_in_every_output_at_once_and_stay(
    shell: Shell, call: tuple[Path, list[list[HeardWord]]]
) -> None:
    path, truths = call
    first, other = texts(truths[0])[0], texts(truths[1])[0]
    assert shell.transcribe(path.parent, *SPLIT, cwd=path.parent).code == 0
    sent = len(endpoint_of(shell).received)
    edited = path.with_suffix(".txt")
    edited.write_text(edited.read_text("utf-8") + "2: исправлено\n", "utf-8")
    path.with_suffix(".tsv").unlink()
    # By an output, and without being in the folder.
    result = shell.run("speakers", "rename", path.with_suffix(".srt"), f"1={NAME}", "2=Олег")
    assert result.code == 0, result.err
    written = [path.with_suffix(f".{name}") for name in ("json", "srt", "vtt")]
    assert result.out.splitlines() == [str(each) for each in written]
    assert result.err == f"sttbatch: {edited}: not replaced: edited, or not written by sttbatch\n"
    assert f"{NAME}: {first}" in path.with_suffix(".srt").read_text("utf-8")
    assert f"<v Анна &amp; Ко>{first}" in path.with_suffix(".vtt").read_text("utf-8")
    assert speakers(path.with_suffix(".json")) == {NAME, "Олег"}
    assert load(path.with_suffix(".json"))["speakers"] == {"1": NAME, "2": "Олег"}
    assert load(path.with_suffix(".json"))["source"] == str(path)
    states = [each.stat().st_mtime_ns for each in written]

    # A later run has nothing to do but what was removed; other formats and copies have the names.
    again = shell.transcribe(path.parent, *SPLIT)
    assert again.code == 0, again.err
    assert [each.stat().st_mtime_ns for each in written] == states
    assert f"Олег: {other}" in path.with_suffix(".tsv").read_text("utf-8")
    path.rename(path.with_name("moved.wav"))
    assert shell.transcribe(path.parent, "--channels", "split", "-f", "json").code == 0
    assert speakers(path.with_name("moved.json")) == {NAME, "Олег"}

    # The edited text is found, under the names that its numbers have by now.
    for query, speaker, count in ((first, NAME, 1), (first, "1", 0), ("исправлено", "Олег", 1)):
        found = shell.run("search", query, "--speaker", speaker, "--json")
        assert len(json.loads(found.out)["hits"]) == count, (query, speaker, found.err)

    listed = shell.run("speakers", "rename", path.with_name("moved.wav"), "--list")
    assert listed.out.endswith(f"moved.wav: 1={NAME} 2=Олег\n")
    taken = shell.run("speakers", "rename", path.with_name("moved.wav"), "1=")
    assert taken.code == 0, taken.err
    assert speakers(path.with_name("moved.json")) == {"1", "Олег"}
    assert len(endpoint_of(shell).received) == sent


def test_a_page_that_contains_its_recording_waits_for_it(
    shell: Shell, call: tuple[Path, list[list[HeardWord]]]
) -> None:
    path, _ = call
    out = path.parent.parent / "out"
    page, embedded = out / "call.html", f"base64,{b64encode(path.read_bytes()).decode()}"
    asked = (path.parent, "--channels", "split", "-f", "html,json", "--embed-audio", "-o", out)
    assert shell.transcribe(*asked).code == 0
    away = path.parent.rename(path.parent.with_name("away"))
    later = f"sttbatch: {page}: gets the names when the command that wrote it is run again\n"

    def rename(name: str) -> None:
        result = shell.run("speakers", "rename", out / "call.json", f"1={name}")
        assert (result.code, result.out, result.err) == (0, f"{out / 'call.json'}\n", later)
        assert speakers(out / "call.json") == {name, "2"}
        assert embedded in page.read_text("utf-8")

    rename("Анна")
    away.rename(path.parent)
    assert shell.transcribe(*asked).code == 0
    assert all(each in page.read_text("utf-8") for each in (embedded, "Анна"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    rename("Вера")
    path.write_bytes(whole)
    result = shell.run("speakers", "rename", page, "1=Надя")
    assert (result.code, result.err) == (0, "")
    assert all(each in page.read_text("utf-8") for each in (embedded, "Надя"))
    printed = shell.transcribe(*asked[:-4], "html", "--embed-audio", "-o", "-").out
    assert all(each in printed for each in (embedded, "Надя"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("1=Анна",), 2, "name a recording"),
        (("call.wav",), 2, "give names"),
        (("call.wav", "1=a\x1bb"), 2, "control character"),
        (("call.wav", "1=" + "x" * 81), 2, "1 to 80 characters"),
        (("call.wav", "1=2"), 2, "taken for a speaker's number"),
        (("call.wav", "1=Анна"), 1, "call.wav: it does not exist, and nothing of it is known"),
    ],
)
def test_what_cannot_be_named_is_said(
    home_in_use: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = Shell(home_in_use).run("speakers", "rename", *arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err


def test_a_mixed_recording_has_nobody_to_name(
    shell: Shell, call: tuple[Path, list[list[HeardWord]]]
) -> None:
    path, _ = call
    assert shell.transcribe(path).code == 0
    result = shell.run("speakers", "rename", path, "1=Анна")
    assert (result.code, "--channels split" in result.err) == (1, True), result.err
    assert shell.transcribe(path, *SPLIT).code == 0
    result = shell.run("speakers", "rename", path, "3=Анна")
    assert (result.code, "no speaker 3, only 1, 2" in result.err) == (1, True), result.err
