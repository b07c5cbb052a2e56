"""A log outlives a full disk, and every recording that it names."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from sttbatch.core.events import CacheLookup, JobCompleted, JobStarted, Warned
from sttbatch.monitoring.logs import EventLog


def test_a_disk_with_room_again_gets_what_happens_then(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        log = EventLog(stream, as_json=True)
        log(Warned("", "before"))
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
        log(Warned("", "after"))
        assert json.loads(path.read_text().splitlines()[-1])["message"] == "after"


def test_a_log_that_nobody_reads_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        log = EventLog(stream, as_json=True)
        log(Warned("", "before"))
        with path.open("w") as file:
            os.dup2(file.fileno(), writer)
        log(Warned("", "after"))
        assert path.read_text() == ""


def test_a_recording_that_has_ended_has_no_job_any_more() -> None:
    stream = io.StringIO()
    log = EventLog(stream, as_json=True)
    lookup = CacheLookup("talk.mp3", "transcript:1", None)
    for event in (
        JobStarted("talk.mp3", "7"),
        lookup,
        JobCompleted("talk.mp3", 1.0, False),
        lookup,
    ):
        log(event)
    jobs = [json.loads(line)["job"] for line in stream.getvalue().splitlines()]
    assert jobs == ["7", "7", "7", None]
