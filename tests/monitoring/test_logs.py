"""A log outlives a full disk, and every recording that it names."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from sttbatch.core.errors import SttbatchError
from sttbatch.core.events import (
    CacheLookup,
    ChunkProcessingCompleted,
    ChunkProcessingFailed,
    ChunkProcessingStarted,
    Event,
    JobCompleted,
    JobStarted,
    Warned,
)
from sttbatch.core.models import LatencyModel
from sttbatch.monitoring.logs import EventLog, event_message


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


def test_a_piece_of_gap_repair_is_named_as_it_begins_and_as_it_ends() -> None:
    for piece, name in (
        (None, "talk.mp3: chunk 3: "),
        ("gap-1", "talk.mp3: chunk 3, piece gap-1: "),
    ):
        for event in (
            ChunkProcessingStarted("talk.mp3", 3, 5.0, 0.0, piece),
            ChunkProcessingCompleted("talk.mp3", 3, 5.0, False, piece),
            ChunkProcessingFailed("talk.mp3", 3, 5.0, "500", piece),
        ):
            assert event_message(event).startswith(name)


def test_every_event_has_a_text_of_its_own() -> None:
    values: dict[object, Any] = {
        str: "x",
        int: 1,
        float: 0.5,
        bool: False,
        tuple[str, ...]: (),
        LatencyModel: LatencyModel(1.0, 0.1, 0),
        SttbatchError: SttbatchError("x"),
    }
    for kind in Event.__subclasses__():
        types = get_type_hints(kind)
        fields = [field for field in msgspec.structs.fields(kind) if field.required]
        given: list[Any] = [values.get(types[field.name]) for field in fields]
        event = kind(*given)
        assert kind.__name__ not in event_message(event)
