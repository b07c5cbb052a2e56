"""`sttbatch cache` as its users meet it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, load, texts, words_of

OPTIONS = ("--chunk-duration", "30")


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    return make_recording(folder / "talk.flac", duration_s=65, sample_rate=8_000, channels=1)


@pytest.fixture
def other(folder: Path) -> list[HeardWord]:
    return make_recording(
        folder / "other.flac", duration_s=12, sample_rate=8_000, channels=1, first_word=900
    )


def sent(shell: Shell) -> int:
    assert shell.endpoint is not None
    return len(shell.endpoint.received)


def traces(words: list[HeardWord]) -> list[bytes]:
    """As JSON has them: a word alone could be found in any hash."""
    found = texts(words)
    pairs = [f"{a} {b}" for a, b in pairwise(found)]
    return [each.encode() for each in (*pairs, *(f'"{word}"' for word in found))]


def level_two(shell: Shell) -> Path:
    return shell.home / ".cache" / "sttbatch" / "l2" / "cache.db"


def shown(shell: Shell, *arguments: str) -> dict[str, Any]:
    result = shell.run("cache", *arguments, "--json")
    assert result.err == ""
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_without_l1_and_l2_nothing_is_sent(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    before = sent(shell)
    shutil.rmtree(shell.home / ".cache")
    (folder / "talk.json").unlink()
    result = shell.transcribe(folder, "-f", "json,srt")
    assert result.code == 0, result.err
    assert sent(shell) == before
    assert words_of(folder / "talk.json") == texts(talk)


@pytest.mark.parametrize(
    "harm",
    [
        "damaged",
        *(pytest.param(harm, marks=pytest.mark.slow) for harm in ("a file", "unwritable", "full")),
    ],
)
def test_a_broken_l2_fails_no_run_and_warns_once(
    shell: Shell, folder: Path, talk: list[HeardWord], harm: str
) -> None:
    path = level_two(shell)
    path.parent.mkdir(parents=True, mode=0o700)
    if harm == "damaged":
        path.write_bytes(b"no database" * 999)
    elif harm == "full":
        path.symlink_to("/dev/full")
    else:
        path.parent.rmdir()
        path.parent.symlink_to("/proc/self" if harm == "unwritable" else "/dev/null")
    result = shell.transcribe(folder, *OPTIONS)
    assert result.code == 0, result.err
    assert words_of(folder / "talk.json") == texts(talk)
    assert sum("L2" in line for line in result.err.splitlines()) == 1, result.err


def test_stats_say_what_is_kept(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shown(shell, "stats")["levels"]["L3"]["entries"] == 0
    assert shell.transcribe(folder, *OPTIONS).code == 0
    (folder / "talk.txt").unlink()
    assert shell.transcribe(folder, *OPTIONS).code == 0
    found = shown(shell, "stats")
    chunks = sent(shell)
    for name in ("L2", "L3"):
        level = found["levels"][name]
        assert level["entries"] == chunks + 1
        assert 0 < level["bytes"] < level["disk_bytes"]
        assert level["oldest_at"] <= level["newest_at"]
    assert found["most_used"][0]["key"].startswith("transcript:")
    assert found["damaged"] is None
    assert shell.run("cache", "verify").code == 0
    assert shown(shell, "stats")["damaged"] == 0
    text = shell.run("cache", "stats")
    assert text.code == 0
    assert "L3" in text.out
    assert "\x1b" not in text.out


def test_verify_names_a_damaged_value_and_repairs_it(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    needle = traces(talk)[3]
    for file in (shell.home / "data" / "ledger.db", level_two(shell)):
        whole = bytearray(file.read_bytes())
        whole[whole.index(needle)] ^= 1
        file.write_bytes(whole)
    result = shell.run("cache", "verify", "--json")
    assert result.code == 1
    damaged = json.loads(result.out)["damaged"]
    assert {each["level"] for each in damaged} == {"L2", "L3"}
    assert shown(shell, "stats")["damaged"] == 2
    fixed = shell.run("cache", "verify", "--repair")
    assert fixed.code == 1, "somebody should hear of it"
    assert all(each["key"] in fixed.out for each in damaged)
    assert shell.run("cache", "verify").code == 0
    (folder / "talk.json").unlink()
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert words_of(folder / "talk.json") == texts(talk)


@pytest.mark.parametrize(
    "gone", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["there", "gone"]
)
def test_a_forgotten_recording_leaves_no_word(
    shell: Shell, folder: Path, talk: list[HeardWord], other: list[HeardWord], *, gone: bool
) -> None:
    assert shell.transcribe(folder, *OPTIONS, "--words").code == 0
    sha256 = load(folder / "talk.json")["sha256"]
    before = sent(shell)
    if gone:
        (folder / "talk.flac").rename(folder / "talk.kept")
    result = shell.run("cache", "invalidate", "--file", folder / "talk.flac")
    assert result.code == 0, result.err
    assert "requests" not in result.out
    states = [path for path in shell.home.rglob("*") if path.is_file()]
    assert states
    for path in states:
        data = path.read_bytes()
        for needle in (*traces(talk), sha256.encode(), b"talk.flac"):
            assert needle not in data, (path, needle)
    if gone:
        (folder / "talk.kept").rename(folder / "talk.flac")
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert sent(shell) > before
    (folder / "other.json").unlink()
    again = sent(shell)
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert sent(shell) == again


@pytest.mark.slow
def test_pieces_after_a_413_are_forgotten_too(shell: Shell, folder: Path) -> None:
    from tests.cloudru import CloudRu

    talk = make_recording(
        folder / "talk.mp3", duration_s=95, bit_rate=48_000, sample_rate=16_000, channels=1
    )
    with CloudRu(max_body_bytes=150_000) as endpoint:
        shell = Shell(shell.home, endpoint)
        assert shell.transcribe(folder, "--chunk-duration", "60", "-j", "1").code == 0
        assert 413 in {post.status for post in endpoint.received}
        assert shell.run("cache", "invalidate", "--file", folder / "talk.mp3").code == 0
    for path in (path for path in shell.home.rglob("*") if path.is_file()):
        data = path.read_bytes()
        assert not [each for each in traces(talk) if each in data], path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all"],
        pytest.param(["--pattern", "*"], marks=pytest.mark.slow),
        pytest.param(["--model", "openai/whisper-large-v3"], marks=pytest.mark.slow),
    ],
)
def test_what_is_invalidated_is_sent_anew(
    shell: Shell, folder: Path, talk: list[HeardWord], arguments: list[str]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    before = sent(shell)
    result = shell.run("cache", "invalidate", *arguments)
    assert (result.code, result.err) == (0, "")
    assert f"L3 {before + 1}" in result.out
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert sent(shell) == 2 * before


def test_one_choice_is_asked_for(shell: Shell) -> None:
    assert shell.run("cache", "invalidate").code == 2
    assert shell.run("cache", "invalidate", "--all", "--expired").code == 2
    assert shell.run("cache", "invalidate", "--expired").code == 0


@pytest.mark.slow
def test_an_age_makes_results_expire(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    before = sent(shell)
    shutil.rmtree(shell.home / ".cache")
    in_ledger(shell, "UPDATE cache_entries SET created_at = created_at - 86400")
    shell.extra["STTBATCH_CACHE_MAX_AGE"] = "2d"
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert sent(shell) == before
    shutil.rmtree(shell.home / ".cache", ignore_errors=True)
    shell.extra["STTBATCH_CACHE_MAX_AGE"] = "23h"
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert sent(shell) == 2 * before
    in_ledger(shell, "UPDATE cache_entries SET created_at = created_at - 86400")
    result = shell.run("cache", "invalidate", "--expired")
    assert f"L3 {before + 1}" in result.out
    (folder / "sttbatch.toml").write_text("cache_max_age = 1\n")
    refused = Shell(folder, shell.endpoint).run("config", "show")
    assert refused.code == 2
    assert "line 1" in refused.err


def test_warm_loads_what_a_folder_needs(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    shutil.rmtree(shell.home / ".cache")
    result = shell.run("cache", "warm", folder)
    assert result.code == 0, result.err
    assert result.out.startswith(f"{sent(shell) + 1} entries loaded")
    assert shown(shell, "stats")["levels"]["L2"]["entries"] == sent(shell) + 1
    assert shell.run("cache", "warm", folder / "absent").code == 2
    assert shell.run("cache", "warm").code == 0


@pytest.mark.slow
def test_the_log_names_the_level(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    before = sent(shell)
    assert shell.run("cache", "invalidate", "--pattern", "transcript:*").code == 0
    in_ledger(shell, "DELETE FROM cuts")
    result = shell.transcribe(folder, *OPTIONS, "--log-format", "json")
    assert (result.code, sent(shell)) == (0, before), result.err
    events = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    levels = [each["level"] for each in events if each["event"] == "CacheLookup"]
    # The transcript is looked for first.
    assert levels == [None, *["L2"] * before]


def in_ledger(shell: Shell, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db, db:
        db.execute(statement)


def test_all_is_confirmed_on_a_terminal(shell: Shell, folder: Path, other: list[HeardWord]) -> None:
    assert shell.transcribe(folder).code == 0
    for answer, left in ((b"n\n", 1), (b"y\n", 0)):
        keyboard, terminal = os.openpty()
        try:
            process = shell.start("cache", "invalidate", "--all", stdin=terminal)
            os.write(keyboard, answer)
            process.communicate(timeout=60)
            assert process.returncode == left
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert shown(shell, "stats")["levels"]["L3"]["entries"] == left * (sent(shell) + 1)
