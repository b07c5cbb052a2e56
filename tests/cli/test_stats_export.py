"""`stats --prometheus` leaves a whole file that node_exporter may read, or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sttbatch.cli.commands.stats import replace_report
from sttbatch.core.errors import UsageError
from tests.cloudru import CloudRu, Status, make_recording, times_per_chunk
from tests.monitoring.exposed import value
from tests.shell import Shell


def test_the_file_agrees_with_the_endpoint(
    shell: Shell, cloudru: CloudRu, folder: Path, tmp_path: Path
) -> None:
    make_recording(folder / "secret name.flac", duration_s=25, sample_rate=8_000, channels=1)
    cloudru.faults = times_per_chunk(1, Status(503))
    assert shell.transcribe(folder, "--chunk-duration", "10").code == 0
    target = tmp_path / "collector" / "sttbatch.prom"
    target.parent.mkdir()
    result = shell.run("stats", "--prometheus", target)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]
    text, log = target.read_text(), cloudru.received
    answered = sum(each.status == 200 for each in log)
    assert value(text, "sttbatch_requests_total") == len(log)
    assert value(text, "sttbatch_requests_total", outcome="answered") == answered
    assert value(text, "sttbatch_request_retries_total", cause="503") == len(log) - answered
    assert value(text, "sttbatch_request_duration_seconds_count") == answered
    assert value(text, "sttbatch_rate_limit_wait_seconds_count") == len(log)
    assert value(text, "sttbatch_recordings_total", outcome="transcribed") == 1
    assert value(text, "sttbatch_runs_ended_total", outcome="succeeded") == 1
    assert value(text, "sttbatch_jobs", state="completed") == 1
    paid_s = sum(each.audio_s for each in log if each.status == 200)
    assert value(text, "sttbatch_paid_audio_seconds_total") == pytest.approx(paid_s, rel=1e-3)
    assert value(text, "sttbatch_cost_rubles_total") == pytest.approx(paid_s * 0.01, rel=1e-3)
    assert "secret name" not in text

    # Without its transcript the stretches come from the cache, and are worth what they cost.
    shell.run("cache", "invalidate", "--pattern", "transcript:*")
    assert shell.transcribe(folder, "--chunk-duration", "10", "--overwrite").code == 0
    again = shell.run("stats", "--prometheus")
    assert (again.code, again.err) == (0, "")
    assert shell.run("stats", "--prometheus", "-").out == again.out
    assert value(again.out, "sttbatch_requests_total") == len(log)
    assert value(again.out, "sttbatch_saved_audio_seconds_total") == pytest.approx(25, rel=1e-3)
    assert value(again.out, "sttbatch_saved_cost_rubles_total") == pytest.approx(0.25, rel=1e-3)


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "sttbatch.prom"
    before = os.umask(0o077)
    try:
        replace_report(target, b"old", 0o644)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o644
    target.chmod(0o640)
    with target.open("rb") as reader:
        replace_report(target, b"new", 0o644)
        assert reader.read() == b"old"
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_report(pipe, b"figures", 0o644)
        assert os.read(reader, 100) == b"figures"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken.prom").mkdir()
    for path in (tmp_path / "taken.prom", tmp_path / "nowhere" / "a.prom", tmp_path / ("a" * 300)):
        with pytest.raises(UsageError, match="cannot be written"):
            replace_report(path, b"figures", 0o644)
    assert [each.name for each in tmp_path.iterdir()] == ["taken.prom"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--prometheus", "-", "--json"), "give only one of"),
        (("--prometheus", "-", "--push", "http://localhost"), "give only one of"),
        (("--prometheus", "-", "--since", "7d"), "omit --since"),
        (("--push", "http://localhost", "--by", "day"), "omit --by"),
    ],
)
def test_what_does_not_go_together(home: Path, options: tuple[str, ...], said: str) -> None:
    result = Shell(home).run("stats", *options)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


@pytest.mark.parametrize("options", [("--prometheus", "-"), ("--push", "http://127.0.0.1:9")])
def test_without_the_extra_it_says_what_to_install(
    home: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('no such module', name='prometheus_client')"
    )
    result = Shell(home, extra={"PYTHONPATH": str(tmp_path)}).run("stats", *options)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.endswith("pip install 'sttbatch[prometheus]'")
