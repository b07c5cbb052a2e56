"""Events as log lines, as text or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from sttbatch.core import events
from sttbatch.monitoring.event_messages import event_message

FAILURES = (events.JobFailed, events.ChunkProcessingFailed, events.AlertTriggered)


class EventLog:
    """Writes every event to a stream, one line each; a stream that fails is written to no more.

    Args:
        as_json: one object a line with `time` (ISO 8601, UTC), `event`, `recording`, `job` (its
            id; null before it is claimed) and what belongs to the event, such as `chunk` and
            `request_id`; for people otherwise.
        failures_only: leave out what went well.
        printable: escapes what a terminal would obey.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        as_json: bool,
        failures_only: bool = False,
        printable: Callable[[str], str] = str,
    ) -> None:
        self._stream = stream
        self._as_json = as_json
        self._failures_only = failures_only
        self._printable = printable
        self._jobs: dict[str, str] = {}
        self._broken = False

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.JobStarted):
            self._jobs[event.recording] = event.job
        if self._failures_only and not isinstance(event, FAILURES):
            return
        if not self._as_json:
            self._write(f"{_local_time()} {self._printable(event_message(event))}")
            return
        facts = dataclasses.asdict(event)
        if "index" in facts:
            facts["chunk"] = facts.pop("index")
        job = self._jobs.get(event.recording)
        self._object(type(event).__name__, {"job": job} | facts)

    def summary(self, line: str, facts: Mapping[str, Any]) -> None:
        """The last line: `facts` with the event `summary`, or `line` for people."""
        if self._as_json:
            self._object("summary", facts)
        else:
            self._write(f"{_local_time()} {line}")

    def _object(self, event: str, facts: Mapping[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write(json.dumps({"time": time, "event": event, **facts}))

    def _write(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            # A full disk or a closed pipe under the log must not cost answers.
            self._broken = True


def _local_time() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
