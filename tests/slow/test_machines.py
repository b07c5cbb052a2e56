"""Several machines at one PostgreSQL: nothing is taken from the living or paid twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.cloudru import CloudRu, make_recording
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.shell import Shell, texts, words_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHUNKS, ANSWER_S = 10, 30.0
"""One after the other they take five minutes."""

MACHINES = 8
RECORDINGS = 12


def machine(tmp_path: Path, name: str, cloudru: CloudRu) -> Shell:
    (tmp_path / name).mkdir()
    return Shell(tmp_path / name, cloudru, {"STTBATCH_DATABASE_URL": schema_url(tmp_path)})


def _has_received(count: int, endpoint: CloudRu) -> bool:
    return len(endpoint.received) >= count


def test_no_job_is_taken_from_a_living_machine_in_five_minutes(
    tmp_path: Path, cloudru: CloudRu, postgresql_server: PostgreSQL
) -> None:
    del postgresql_server
    talk = tmp_path / "talk.wav"
    make_recording(talk, duration_s=11 * CHUNKS, sample_rate=8_000, channels=1)
    one, other = (machine(tmp_path, name, cloudru) for name in ("one", "other"))
    cloudru.latency_s = ANSWER_S
    options = ("-j", "1", "--chunk-duration", "11", "-o", tmp_path / "out")
    running = one.start("transcribe", talk, *options)
    for number in range(1, CHUNKS):
        cloudru.wait_for(partial(_has_received, number), 3 * ANSWER_S)
        busy = other.transcribe(talk, "--no-wait")
        assert busy.code == 0, busy.err
        assert "1 claimed by another run" in busy.err
    result = one.finish(running)
    assert result.code == 0, result.err
    answered = [post.file_sha256 for post in cloudru.received]
    assert len(answered) == len(set(answered)) >= CHUNKS


def test_eight_machines_pay_each_chunk_once(
    tmp_path: Path, cloudru: CloudRu, postgresql_server: PostgreSQL
) -> None:
    del postgresql_server
    talks = tmp_path / "talks"
    talks.mkdir()
    truths = {
        f"{number}.wav": make_recording(
            talks / f"{number}.wav", duration_s=50, sample_rate=8_000, channels=1,
            first_word=200 * number,
        )
        for number in range(RECORDINGS)
    }  # fmt: skip
    cloudru.latency_s = 0.5
    machines = [machine(tmp_path, str(number), cloudru) for number in range(MACHINES)]
    options = ("-j", "2", "--chunk-duration", "20", "-f", "json")
    running = [
        each.start("transcribe", talks, "-o", each.home / "out", *options) for each in machines
    ]
    for each, process in zip(machines, running, strict=True):
        result = each.finish(process)
        assert result.code == 0, result.err
        for name, truth in truths.items():
            assert words_of((each.home / "out" / name).with_suffix(".json")) == texts(truth)
    answered = [post.file_sha256 for post in cloudru.received if post.status == 200]
    assert len(answered) == len(set(answered)) == len(cloudru.received)
