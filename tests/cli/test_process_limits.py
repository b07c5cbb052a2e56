"""A limit that is too small is named before anything is paid, not when a run breaks off over it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell

MIB = 1 << 20


def limited(kind: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (value, value))


@pytest.mark.parametrize(
    ("kind", "value", "complaint"),
    [
        (resource.RLIMIT_AS, 250 * MIB, "250 MiB of address space, it needs at least 1024"),
        pytest.param(resource.RLIMIT_AS, 600 * MIB, "`ulimit -v 1048576`", marks=pytest.mark.slow),
        (resource.RLIMIT_NOFILE, 20, "20 open files, it needs at least 64 (`ulimit -n 64`)"),
        pytest.param(resource.RLIMIT_NOFILE, 36, "36 open files", marks=pytest.mark.slow),
    ],
)
def test_what_is_too_small_is_named(
    shell: Shell, cloudru: CloudRu, folder: Path, kind: int, value: int, complaint: str
) -> None:
    make_recording(folder / "talk.wav", duration_s=6, sample_rate=8_000, channels=1)
    arguments = ("transcribe", folder, "-j", "10")
    for more in ((), ("--dry-run",)):
        result = shell.finish(shell.start(*arguments, *more, preexec_fn=limited(kind, value)))
        assert result.code == 2, result.err
        assert complaint in result.err
        assert "Traceback" not in result.err
    assert cloudru.received == []


def test_what_is_asked_for_is_enough(shell: Shell, cloudru: CloudRu, folder: Path) -> None:
    def least() -> None:
        for kind, value in ((resource.RLIMIT_AS, 1024 * MIB), (resource.RLIMIT_NOFILE, 64)):
            resource.setrlimit(kind, (value, value))

    for number in range(4):
        make_recording(
            folder / f"talk-{number}.mp3", duration_s=30, sample_rate=16_000, channels=1,
            first_word=100 * number,
        )  # fmt: skip
    arguments = ("transcribe", folder, "-j", "10", "--chunk-duration", "10")
    result = shell.finish(shell.start(*arguments, preexec_fn=least))
    assert result.code == 0, result.err
    assert len(cloudru.received) >= 10
