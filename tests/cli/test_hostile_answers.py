"""Answers that are meant to harm: each costs its recording, in little memory, and never the run."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path

import pytest

from benchmarks.measure import measure
from tests.cloudru import CloudRu, Heard, HeardWord, Received, Status, always, make_recording
from tests.shell import Shell

MIB = 1024 * 1024
MOST_MEMORY = 300 * MIB
HEARD = Heard((HeardWord("0000", 0.5, 1.0), HeardWord("0001", 1.5, 2.0)), 10.0)


def zeros(count: int) -> bytes:
    """So many times 16 MiB of zeros as gzip, a thousandth in size."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # What follows a full flush refers to nothing before it, so it may be repeated.
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + count * block


def bomb(encoding: str) -> bytes:
    """A gibibyte, or sixteen that are packed twice."""
    return zeros(64) if "," not in encoding else gzip.compress(zeros(1024))


def failing(home: Path, endpoint: CloudRu, *options: str) -> str:
    """What a command writes that fails as it should, in little memory of all its processes."""
    run = [sys.executable, "-m", "sttbatch", *options]
    command = ["sh", "-c", '"$@" 2>&1; echo exit $?', "sh", *run]
    cost, said = measure(command, home, environment=Shell(home, endpoint).environment)
    assert said.endswith("exit 1\n")
    assert "Traceback" not in said
    assert cost.rss_bytes < MOST_MEMORY
    return said


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=40, sample_rate=8_000, channels=1)
    return path


@pytest.mark.parametrize(
    ("code", "encoding", "body", "complaint"),
    [
        pytest.param(
            200, "gzip, gzip", None, " bytes: no transcription of ", marks=pytest.mark.slow
        ),
        pytest.param(503, "gzip", None, "503: ", marks=pytest.mark.slow),
        (200, "", b'{"segments":[' + 300_000 * b"{},", " words and segments: no transcription of "),
    ],
    ids=["gzip twice", "gzip of a 503", "empty objects"],
)
def test_memory_of_a_run_stays_small(
    home_in_use: Path, talk: Path, code: int, encoding: str, body: bytes | None, complaint: str
) -> None:
    headers = {"content-encoding": encoding} if encoding else {}
    # So that a 503 is not waited out.
    headers |= {"x-should-retry": "false"} if code != 200 else {}
    answer = Status(code, headers, bomb(encoding) if body is None else body)
    with CloudRu(recognise=lambda _: HEARD, faults=always(answer)) as endpoint:
        options = ["transcribe", str(talk), "-j", "4", "--chunk-duration", "10", "-v"]
        said = failing(home_in_use, endpoint, *options)
        posts = [post.file_sha256 for post in endpoint.received]
    assert complaint in said
    # What another try would not mend is asked for once, so it is paid for once.
    assert len(posts) == len(set(posts))


def test_it_costs_its_recording_alone(home_in_use: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        path = tmp_path / f"talk-{number}.wav"
        make_recording(path, duration_s=4, sample_rate=8_000, channels=1, first_word=number)
    answer = Status(200, {"content-encoding": "gzip, gzip"}, bomb("gzip, gzip"))

    def second(post: Received) -> Status | None:
        return answer if post.words[:1] == ("0002",) else None

    with CloudRu(faults=second) as endpoint:
        result = Shell(home_in_use, endpoint).transcribe(tmp_path, "--no-audit")
    assert result.code == 1
    assert "talk-2.wav: failed: " in result.err
    assert "2 recordings done" in result.summary
    assert "1 failed" in result.summary


@pytest.mark.parametrize("command", [["models"], ["doctor", "--send"]], ids=" ".join)
def test_memory_of_what_asks_the_endpoint_stays_small(
    home_in_use: Path, command: list[str]
) -> None:
    encoding = "gzip, gzip"
    answer = Status(200, {"content-encoding": encoding}, bomb(encoding))
    with CloudRu(models=answer, faults=always(answer)) as endpoint:
        said = failing(home_in_use, endpoint, *command)
    if command == ["models"]:
        assert "without a list of models" in said
    else:
        assert "FAIL  a real request: " in said
        assert " bytes: no transcription of 1 s" in said
