"""Events as log lines, for people who asked for more and for machines."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import TextIO

from sttbatch.core.events import Event


class EventLog:
    """Writes every event to a stream, one line each.

    Args:
        as_json: one object a line with `time` (ISO 8601, UTC) and `event`; text otherwise.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json

    def __call__(self, event: Event) -> None:
        facts = dataclasses.asdict(event)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        name = type(event).__name__
        if self._as_json:
            line = json.dumps({"time": at, "event": name, **facts})
        else:
            # json.dumps escapes what a terminal would obey.
            pairs = " ".join(f"{key}={json.dumps(value)}" for key, value in facts.items())
            line = f"{at} {name} {pairs}"
        print(line, file=self._stream, flush=True)
