"""`sttbatch transcribe` as its users meet it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, HeardWord, Received, Status, make_recording
from tests.shell import Result, Shell, load, texts, words_of

TALK_S = 95.0


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    """talk.mp3: two to four chunks at four lanes; the longer, the sooner answers come."""
    return make_recording(
        folder / "talk.mp3", duration_s=TALK_S, bit_rate=48_000, sample_rate=16_000, channels=1
    )


def posts(shell: Shell) -> list[Received]:
    assert shell.endpoint is not None
    return shell.endpoint.received


def test_a_second_run_sends_nothing_and_touches_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    first = shell.transcribe(folder)
    assert first.code == 0, first.err
    assert first.out == f"{folder / 'talk.txt'}\n"
    sent = len(posts(shell))
    before = (folder / "talk.json").stat().st_mtime_ns
    second = shell.transcribe(folder)
    assert (second.code, second.out) == (0, first.out)
    assert len(posts(shell)) == sent
    assert "0 chunks sent, 1 from cache" in second.summary
    assert (folder / "talk.json").stat().st_mtime_ns == before
    assert words_of(folder / "talk.json") == texts(talk)


def test_moved_copied_other_formats_and_missing_outputs_are_free(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder).code == 0
    sent = len(posts(shell))
    (folder / "talk.mp3").rename(folder / "speech.mp3")
    (folder / "copy.mp3").write_bytes((folder / "speech.mp3").read_bytes())
    (folder / "talk.txt").unlink()
    result = shell.transcribe(folder, "-f", "txt,srt,vtt,tsv,json", "--words", "-j", "2")
    assert result.code == 0, result.err
    assert len(posts(shell)) == sent
    for name in ("speech", "copy"):
        assert words_of(folder / f"{name}.json") == texts(talk)
        assert "-->" in (folder / f"{name}.srt").read_text()
        assert (folder / f"{name}.vtt").read_text().startswith("WEBVTT")
        assert (folder / f"{name}.tsv").read_text().startswith("start\tend\ttext")


def test_an_edited_output_is_kept_and_named(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder).code == 0
    (folder / "talk.txt").write_text("corrected by hand")
    result = shell.transcribe(folder)
    assert result.code == 0
    assert "talk.txt: not replaced" in result.err
    assert (folder / "talk.txt").read_text() == "corrected by hand"
    assert shell.transcribe(folder, "--overwrite").code == 0
    assert (folder / "talk.txt").read_text().split() == texts(talk)


@pytest.mark.slow
def test_another_request_is_sent_anew(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.transcribe(folder).code == 0
    sent_s = paid_s = sum(post.audio_s or 0 for post in posts(shell))
    for change in (["-l", "en"], ["--prompt", "tones"], ["--model", "another"], ["--force"]):
        result = shell.transcribe(folder, *change)
        assert result.code == 0, result.err
        paid_s += sent_s
        # It may be cut otherwise, now that it is known how long answers take.
        all_s = sum(post.audio_s or 0 for post in posts(shell))
        assert all_s == pytest.approx(paid_s, rel=0.05), change


def test_killed_half_way_the_rest_alone_is_sent(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.endpoint is not None
    answered = 2
    shell.endpoint.latency_s = 0.0
    process = shell.start("transcribe", folder, "-j", "1", "--chunk-duration", "30")
    shell.endpoint.wait_for(
        lambda e: sum(r.status == 200 for r in e.received) >= answered, timeout_s=60
    )
    process.kill()
    process.communicate()
    stored = _answered(shell)
    result = shell.transcribe(folder, "--chunk-duration", "40")
    assert result.code == 0, result.err
    assert words_of(folder / "talk.json") == texts(talk)
    # The one whose answer was on its way may be paid twice, nothing else.
    paid_s = sum(r.audio_s or 0 for r in posts(shell) if r.status == 200)
    assert paid_s <= TALK_S + 45, stored


def _answered(shell: Shell) -> int:
    return sum(post.status == 200 for post in posts(shell))


@pytest.mark.slow
def test_a_recording_that_a_signal_left_half_done_is_finished_by_the_next_run(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.endpoint is not None
    shell.endpoint.hold()
    process = shell.start("transcribe", folder, "-j", "2", "--chunk-duration", "30")
    shell.endpoint.wait_for(lambda e: e.log.in_flight == 2, timeout_s=60)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    shell.endpoint.resume()
    result = shell.finish(process)
    assert result.code == 128 + signal.SIGTERM
    assert len(posts(shell)) == 2
    assert "1 left for the next run" in result.summary
    assert not (folder / "talk.json").exists()
    again = shell.transcribe(folder, "--chunk-duration", "30")
    assert again.code == 0, again.err
    assert words_of(folder / "talk.json") == texts(talk)
    shas = [post.file_sha256 for post in posts(shell)]
    assert len(shas) == len(set(shas))


def test_a_400_fails_its_chunk_alone(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.endpoint is not None
    unlucky = texts(talk)[60]

    def fault(received: Received) -> Status | None:
        return (
            Status(400, body={"error": {"message": "not this one"}})
            if (unlucky in (received.words or ()))
            else None
        )

    shell.endpoint.faults = fault
    result = shell.transcribe(folder, "--chunk-duration", "30")
    assert result.code == 1
    assert "not this one" in result.err
    found = load(folder / "talk.json")
    (gap,) = found["gaps"]
    assert gap["reason"] == "still_missing"
    kept = found["text"].split()
    assert unlucky not in kept
    lost = [word for word in talk if gap["start"] <= word.start_s and word.end_s <= gap["end"]]
    assert kept == [text for text in texts(talk) if text not in texts(lost)]
    assert "not transcribed" in (folder / "talk.txt").read_text()
    shell.endpoint.faults = None
    sent = len(posts(shell))
    assert shell.transcribe(folder, "--chunk-duration", "30").code == 0
    assert len(posts(shell)) == sent + 1
    assert words_of(folder / "talk.json") == texts(talk)


def test_a_413_splits_the_chunk(home_in_use: Path, folder: Path, talk: list[HeardWord]) -> None:
    with CloudRu(max_body_bytes=150_000) as endpoint:
        shell = Shell(home_in_use, endpoint)
        result = shell.transcribe(folder, "--chunk-duration", "60", "-j", "1")
        assert result.code == 0, result.err
        assert words_of(folder / "talk.json") == texts(talk)
        assert {post.status for post in endpoint.received} == {200, 413}
        sent = len(endpoint.received)
        (folder / "talk.json").unlink()
        assert shell.transcribe(folder).code == 0
        assert len(endpoint.received) == sent


def test_an_endpoint_that_is_gone_for_a_while_loses_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    """It fails four lanes, and after 0.5, 1.5 and 3.5 s a probe: more than there are retries."""
    assert shell.endpoint is not None
    gone = shell.endpoint
    gone.hold()
    process = shell.start("transcribe", folder, "--chunk-duration", "20", "--retries", "1")
    gone.wait_for(lambda e: e.log.in_flight == 4, timeout_s=60)
    gone.go_away()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)
    gone.resume()
    gone.come_back()
    result = shell.finish(process)
    assert result.code == 0, result.err
    assert words_of(folder / "talk.json") == texts(talk)


def test_a_wrong_key_ends_with_3_after_one_post_a_lane(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    shell.extra["CLOUDRU_API_KEY"] = "not-the-key"
    result = shell.transcribe(folder, "-j", "3", "--chunk-duration", "10")
    assert result.code == 3
    assert 1 <= len(posts(shell)) <= 3
    assert "401" in result.err
    assert "not-the-key" not in result.err + result.out


def test_without_a_key_nothing_is_sent(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    shell.extra["CLOUDRU_API_KEY"] = ""
    result = shell.transcribe(folder)
    assert result.code == 2
    assert "CLOUDRU_API_KEY_FILE" in result.err
    assert posts(shell) == []


def test_a_dry_run_needs_no_key_and_sends_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    shell.extra["CLOUDRU_API_KEY"] = ""
    result = shell.transcribe(folder, "--dry-run")
    assert result.code == 0, result.err
    assert "talk.mp3: 1.6 min, 4 chunks" in result.out
    assert "cost 0.95 RUB" in result.out
    assert "no requests yet: a guess" in result.out
    assert posts(shell) == []


@pytest.mark.slow
def test_a_dry_run_knows_how_long_earlier_answers_took(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    """A minute, and a second for each of audio: four chunks of 24 s at once take 1:24."""
    assert shell.transcribe(folder, "--dry-run").code == 0
    rows = [(at, f"chunk:{at}", 20.0 + 7 * at, 80.0 + 7 * at) for at in range(40)]
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db, db:
        db.executemany(
            """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, quantity,
                                     latency_s, sent_bytes, cost, maybe_paid)
               VALUES (?, ?, 'cloudru', 'openai/whisper-large-v3', 1, 200, ?, ?, 1, 0.0, 0)""",
            rows,
        )
    result = shell.transcribe(folder, "--dry-run", "-j", "4")
    assert result.code == 0, result.err
    assert "4 chunks (the shortest that keeps context, so that all lanes end" in result.out
    assert "about 1:24 (estimated from 40 earlier requests)" in result.out
    result = shell.transcribe(folder, "--dry-run", "-j", "1")
    assert "1 chunk (the target duration)" in result.out
    assert "about 2:35 (estimated from 40 earlier requests)" in result.out


@pytest.mark.slow
def test_a_dry_run_respects_the_limit_on_audio(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    """At 30 s of audio a minute, the last of four chunks of 24 s may go after 2:22."""
    options = ("--dry-run", "-j", "4", "--chunk-duration", "24", "--log-format", "json")
    free = shell.transcribe(folder, *options)
    shell.extra["STTBATCH_AUDIO_RATE_LIMIT"] = "30"
    limited = shell.transcribe(folder, *options)

    def wall_s(result: Result) -> float:
        assert result.code == 0, result.err
        return float(json.loads(result.summary)["would_send"]["wall_seconds"])

    assert wall_s(free) < 30
    assert wall_s(limited) > 3 * 47


@pytest.mark.slow
def test_a_run_is_planned_with_what_the_runs_before_it_saw(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    def planned(result: Result) -> dict[str, Any]:
        lines = (json.loads(line) for line in result.err.splitlines() if line.startswith("{"))
        (plan,) = (line for line in lines if line["event"] == "BatchPlanned")
        return dict(plan)

    first = planned(shell.transcribe(folder, "--log-format", "json"))
    assert first["latency"] == {"base_s": 2.0, "per_audio_s": 0.15, "samples": 0}
    assert first["chunks"] == len(posts(shell))
    assert first["audio_s"] == pytest.approx(TALK_S, rel=0.01)
    second = planned(shell.transcribe(folder, "--log-format", "json", "--force"))
    assert second["latency"]["samples"] == first["chunks"]


def test_a_budget_that_is_no_number_is_refused(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    """What a script has divided by zero must not be taken for no limit."""
    result = shell.transcribe(folder, "--max-cost", "nan")
    assert result.code == 2
    assert "--max-cost nan" in result.err
    assert posts(shell) == []


def test_a_budget_is_kept_and_the_next_run_goes_on(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    options = ("--chunk-duration", "30", "-j", "2")
    result = shell.transcribe(folder, *options, "--max-cost", "0.7")
    assert result.code == 4, result.err
    paid_s = sum(post.audio_s or 0 for post in posts(shell))
    assert 0 < paid_s <= 70
    result = shell.transcribe(folder, *options)
    assert result.code == 0, result.err
    assert words_of(folder / "talk.json") == texts(talk)
    assert sum(post.audio_s or 0 for post in posts(shell)) <= TALK_S + 5


def test_what_cannot_be_read_is_named_and_the_others_are_done(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    (folder / "empty.mp3").touch()
    (folder / "fake.mp3").write_text("These are only words.\n" * 100)
    make_recording(folder / "cut.wav", duration_s=20, sample_rate=8_000, channels=1, first_word=900)
    whole = (folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.ogg").symlink_to(folder / "gone.ogg")
    result = shell.transcribe(folder)
    assert result.code == 1
    for name, reason in {
        "empty.mp3": "empty",
        "fake.mp3": "not a recording",
        "cut.wav": "truncated",
        "loop": "leads back",
        "nowhere.ogg": "cannot be read",
    }.items():
        assert any(
            f"{name}: failed: " in line and reason in line for line in result.err.split("\n")
        ), (
            name,
            result.err,
        )
    assert words_of(folder / "talk.json") == texts(talk)
    assert words_of(folder / "cut.json"), "what is there of a truncated recording is transcribed"
    assert "Traceback" not in result.err


def test_covers_and_notes_are_passed_over(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    cover = Path(__file__).parents[2] / "fixtures/speech/cover.png"
    (folder / "cover.png").write_bytes(cover.read_bytes())
    (folder / "notes.md").write_text("# Notes")
    (folder / "README").write_text("no ending at all")
    (folder / ".hidden.mp3").touch()
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert "3 other files skipped" in result.summary
    again = shell.transcribe(folder)
    assert "3 other files skipped" in again.summary, "our own outputs are not counted"


@pytest.mark.slow
def test_recordings_that_share_a_stem_share_no_output(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    other = make_recording(
        folder / "talk.wav", duration_s=12, sample_rate=8_000, channels=1, first_word=500
    )
    for _ in range(2):
        result = shell.transcribe(folder)
        assert result.code == 0, result.err
        assert words_of(folder / "talk.json") == texts(talk)
        assert words_of(folder / "talk.wav.json") == texts(other)


def test_text_goes_to_standard_output_on_request(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    result = shell.transcribe(folder, "-o", "-")
    assert result.code == 0, result.err
    assert result.out.split() == texts(talk)
    assert sorted(path.name for path in folder.iterdir()) == ["talk.mp3"]


def test_a_reader_that_leaves_ends_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    process = shell.start("transcribe", folder)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    result = shell.finish(process)
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    assert words_of(folder / "talk.json") == texts(talk)


def test_the_output_tree_mirrors_the_input_tree(shell: Shell, folder: Path, tmp_path: Path) -> None:
    (folder / "day one").mkdir()
    truth = make_recording(folder / "day one" / "доклад.flac", duration_s=11, sample_rate=16_000)
    result = shell.transcribe(folder, "-o", tmp_path / "out", "-f", "json")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "out" / "day one" / "доклад.json") == texts(truth)
    assert result.out == f"{tmp_path / 'out' / 'day one' / 'доклад.json'}\n"


def test_paths_come_from_a_file_or_standard_input(
    shell: Shell, folder: Path, talk: list[HeardWord], tmp_path: Path
) -> None:
    named = f"{folder / 'talk.mp3'}\n\n{folder / 'missing.mp3'}\n"
    # As Windows' editors write it, with a byte order mark.
    (tmp_path / "list").write_text(named, "utf-8-sig")
    result = shell.transcribe("--files-from", tmp_path / "list")
    assert result.code == 1
    assert "missing.mp3: failed" in result.err
    assert (folder / "talk.txt").exists()
    assert shell.transcribe(folder / "absent").code == 2


def test_quiet_says_nothing_when_all_is_well(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    result = shell.transcribe(folder, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_the_log_as_json_is_one_object_a_line(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    result = shell.transcribe(folder, "--log-format", "json")
    assert result.code == 0
    events = [json.loads(line) for line in result.err.splitlines()]
    names = {event["event"] for event in events}
    assert {"JobQueued", "APIRequestCompleted", "JobCompleted", "ConnectionsClosed"} <= names
    assert shell.endpoint is not None
    assert shell.endpoint.key not in result.err


@pytest.mark.slow
def test_temporary_files_of_killed_runs_are_removed(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.endpoint is not None
    shell.endpoint.latency_s = 30
    process = shell.start("transcribe", folder)
    shell.endpoint.wait_for(lambda e: e.log.in_flight > 0, timeout_s=60)
    spool = shell.home / "data" / "spool"
    assert len(list(spool.iterdir())) == 1
    process.kill()
    process.communicate()
    shell.endpoint.latency_s = 0
    assert shell.transcribe(folder).code == 0
    assert list(spool.iterdir()) == []


def test_state_is_private(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    assert shell.transcribe(folder).code == 0
    data = shell.home / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    for path in data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("command", [[], ["transcribe"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    program = (
        f"import sys\nsys.argv = {['sttbatch', *command, '--help']}\n"
        "from sttbatch.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = 'asyncio httpx av numpy sqlite_utils pydub redis cryptography '\n"
        "heavy = [*heavy.split(), 'sttbatch.core.events']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip().endswith("[]")


def test_a_first_run_imports_only_what_it_needs(new_shell: Shell, folder: Path) -> None:
    make_recording(folder / "talk.wav", duration_s=2, sample_rate=8_000, channels=1)
    new_shell.extra["PYTHONPROFILEIMPORTTIME"] = "1"
    result = new_shell.transcribe(folder)
    assert result.code == 0
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert {"httpx", "sttbatch.composition.workshop"} <= imported
    heavy = {"av", "icu4py", "numpy", "pydub", "sqlite_utils", "tomllib"}
    others = {"cli.commands.search", "kinds.language", "kinds.ordered_jobs", "external.local"}
    assert not imported & {*heavy, *(f"sttbatch.{each}" for each in others)}


@pytest.mark.parametrize("columns", [80, 140])
def test_help_has_ten_options_first_and_the_others_in_panels(home: Path, columns: int) -> None:
    text = Shell(home, extra={"COLUMNS": str(columns)}).run("transcribe", "--help").out
    assert max(map(len, text.splitlines())) <= columns
    panels = {
        panel.split(" ", 1)[0]: re.findall(r"^│ --(\S+)", panel, re.MULTILINE)
        for panel in text.split("╭─ ")[2:]
    }
    assert list(panels) == [
        "Options", "Input", "Output", "Recognition", "Engine", "Chunking", "Cost", "Logging",
    ]  # fmt: skip
    assert panels["Options"] == [
        "output-dir", "format", "language", "prompt", "words", "engine", "concurrency", "dry-run",
        "max-cost", "quiet", "help",
    ]  # fmt: skip
    assert "[default: 4]" in " ".join(text.replace("│", " ").split())


@pytest.mark.slow
def test_a_recording_that_vanishes_before_its_turn_fails_alone(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    """The longest is cut first, so the short ones are still to come when they are removed."""
    assert shell.endpoint is not None
    for name in ("a", "b"):
        make_recording(
            folder / f"{name}.wav", duration_s=12, sample_rate=8_000, channels=1, first_word=800
        )
    (folder / "b.wav").write_bytes((folder / "b.wav").read_bytes() + b"\0\0")
    shell.endpoint.latency_s = 1.0
    process = shell.start("transcribe", folder, "-j", "1", "--chunk-duration", "10")
    shell.endpoint.wait_for(lambda e: e.log.in_flight > 0, timeout_s=60)
    (folder / "b.wav").unlink()
    shell.endpoint.latency_s = 0.0
    result = shell.finish(process)
    assert "Traceback" not in result.err
    assert words_of(folder / "talk.json") == texts(talk)
    assert result.code in {0, 1}
    if result.code == 1:
        assert "b.wav: failed: it cannot be opened" in result.err
