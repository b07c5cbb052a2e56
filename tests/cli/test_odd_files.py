"""Files that are no recordings, or none that can be read, beside good ones."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, texts, words_of

TERABYTE = 1 << 40


@pytest.fixture
def good(folder: Path) -> list[HeardWord]:
    return make_recording(
        folder / "good.mp3", duration_s=6.0, bit_rate=48_000, sample_rate=16_000, channels=1
    )


def sparse(path: Path, head: bytes = b"") -> None:
    path.write_bytes(head)
    os.truncate(path, TERABYTE)


def test_what_never_ends_is_refused_and_the_others_are_done(
    shell: Shell, folder: Path, good: list[HeardWord]
) -> None:
    """Pipes, devices and terabytes of nothing, whether they were named or found."""
    os.mkfifo(folder / "pipe.wav")
    sparse(folder / "empty.wav")
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    sparse(folder / "endless.wav", b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + form + b"data")
    (folder / "zero.wav").symlink_to("/dev/zero")
    result = shell.transcribe(folder / "pipe.wav", folder / "zero.wav", folder)
    assert result.code == 1
    assert "pipe.wav: failed: it is not a regular file; save its content" in result.err
    assert "zero.wav: failed: it is not a regular file; save its content" in result.err
    assert "empty.wav: failed: not a recording" in result.err
    assert "endless.wav: failed: " in result.err
    assert words_of(folder / "good.json") == texts(good)
    again = shell.transcribe(folder)
    assert (again.code, "0 chunks sent" in again.summary) == (1, True), again.err


def test_formats_that_are_not_read_are_named_and_fail_nothing(
    shell: Shell, folder: Path, good: list[HeardWord]
) -> None:
    (folder / "dictation.ds2").write_bytes(b"\3ds2" + bytes(600))
    (folder / "call.vox").write_bytes(bytes(600))
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert "skipped 2, whose format cannot be read here: " in result.err
    assert "dictation.ds2" in result.err
    assert words_of(folder / "good.json") == texts(good)
    named = shell.transcribe(folder / "dictation.ds2")
    assert named.code == 1
    assert "dictation.ds2: failed: not a recording that can be read" in named.err
