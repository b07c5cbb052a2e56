"""Names and transcripts that a terminal, a shell or a markup language would obey."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sttbatch.cli.console.progress_bars import ProgressBars
from sttbatch.core import events
from tests.cloudru import CloudRu, Status, always, make_recording
from tests.shell import Shell, load

NAMES = (
    b"plain", b"\x1b[31mred", b"\x1b]0;title\x07", b"line\nbreak", b"return\rx", b"tab\t", b"\x7f",
    b"-rf", b"--help", b"--output-dir=.", b"[bold]x", b"[/b]", b"q'uo\"te$`id`", b" space ", b"*",
    b"back\\slash", b"%s{task.x}", b"\xff\xfe", b"a" * 251, "я".encode() * 125,
    "\u202egnp".encode(), "\u2028line".encode(), "\x85next".encode(), "\x9b31m".encode(),
    "👨\u200d👩".encode(),
)  # fmt: skip
HOSTILE = "\x1b[31mred\x1b[0m \x9b1m [bold]x[/b] {\\i1} \u202egnp \x07\x00\x7f <b> --> \r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same short recording under every name; one lies where the path closes some markup."""
    found = tmp_path / "talks"
    (found / "x[").mkdir(parents=True)
    make_recording(tmp_path / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    for name in NAMES:
        path = name.replace(b"[/b]", b"x[/b]") + b".wav"
        shutil.copy(os.fsencode(tmp_path / "talk.wav"), os.fsencode(found) + b"/" + path)
    return found


def controls(data: bytes) -> list[str]:
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", data.decode("utf-8"))


def run(
    shell: Shell, *arguments: str | bytes, check: bool = True, **options: Any
) -> tuple[int, bytes, bytes]:
    """Exit code, output and messages, in which (unless they are to be looked at) no harm is."""
    done = subprocess.run(
        [sys.executable, "-m", "sttbatch", "transcribe", *arguments],
        check=False, capture_output=True, env=shell.environment, timeout=60, **options,
    )  # fmt: skip
    assert controls(done.stderr + (done.stdout if check else b"")) == []
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_every_name_gets_its_outputs_and_one_harmless_line(shell: Shell, folder: Path) -> None:
    code, out, err = run(shell, str(folder), "-f", "txt,srt,vtt,tsv,json", "-v")
    assert code == 0, err
    assert len(out.splitlines()) == len(NAMES)
    held = [path for path in folder.rglob("*") if path.is_file()]
    assert len(held) == 6 * len(NAMES)
    # As arguments, with and without a list; what begins with a dash needs a folder before it.
    named = [b"./" + os.path.relpath(os.fsencode(path), os.fsencode(folder))
             for path in held if path.suffix == ".wav"]  # fmt: skip
    assert run(shell, *named, cwd=folder)[0] == 0
    zeros = b"\0".join(named)
    lines = b"\n".join(name for name in named if b"\n" not in name)
    for text, count in ((zeros, len(NAMES)), (lines, len(NAMES) - 1)):
        code, out, err = run(shell, "--files-from", "-", cwd=folder, input=text)
        assert (code, len(out.splitlines())) == (0, count), err
    assert shell.endpoint is not None
    assert len(shell.endpoint.received) == 1


@pytest.mark.parametrize(
    "name",
    [
        "\x1b[31m[/b]",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("[/b]", "\u202ex", "x\ny")),
    ],
)
def test_a_name_that_is_not_there_is_shown_harmlessly(shell: Shell, name: str) -> None:
    for arguments in ((name,), ("--files-from", name), ("-l", name)):
        assert run(shell, *arguments)[0] == 2


@pytest.mark.slow
def test_no_format_passes_on_what_a_terminal_would_obey(tmp_path: Path, home_in_use: Path) -> None:
    """Into files and through a pipe, whatever the recogniser says."""
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    word = {"word": HOSTILE, "start": 0.5, "end": 1.0}
    segment = {"text": HOSTILE, "start": 0.5, "end": 1.0, "words": [word]}
    answer = {"text": HOSTILE, "language": HOSTILE, "segments": [segment]}
    with CloudRu(faults=always(Status(200, body=answer))) as endpoint:
        shell = Shell(home_in_use, endpoint)
        assert run(shell, str(path), "-f", "txt,srt,vtt,tsv,json", "--words", "--no-audit")[0] == 0
        printed = [
            (name, run(shell, str(path), "-o", "-", "-f", name, check=False)[1])
            for name in ("txt", "json")
        ]
    found = {each.suffix[1:]: each.read_bytes() for each in tmp_path.glob("talk.*")}
    del found["wav"]
    for name, data in [*found.items(), *printed]:
        kept = [each for each in controls(data) if each not in "\t\u202e"]
        assert kept == [], (name, kept)
        assert b"red" in data
        assert b"[bold]x[/b]" in data
    # Escaped, the json keeps every character.
    assert HOSTILE.strip().split()[1] in load(tmp_path / "talk.json")["text"]


def test_bars_show_markup_as_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bars = ProgressBars(console)
    bars.start()
    for name in ("[/b].wav", "[bold]x\x1b[31m.wav", "{task.x}\u202e.wav"):
        bars.follow(events.JobQueued(name, 10.0))
        bars.follow(events.JobStarted(name, "id"))
        bars.print(name)
    bars.stop()
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "[/b].wav" in shown
    assert r"[bold]x\x1b[31m.wav" in shown
    assert "\u202e" not in shown.replace("{task.x}\u202e.wav\n", "")
