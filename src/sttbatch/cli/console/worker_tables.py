"""The table and the JSON of `sttbatch workers`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from sttbatch.cli.console.text import aligned, clock, utc_time
from sttbatch.core.jobs import Worker, WorkerState


def workers_table(workers: Sequence[Worker], living: Collection[str]) -> list[str]:
    """One line per worker; `living` are ids of living ones."""
    rows = [("HOST", "PID", "STATE", "LANES", "BUSY", "RECORDINGS", "LAST BEAT")]
    rows += [
        (
            worker.machine,
            str(worker.pid),
            state_of(worker, living) or "transcribe",
            *(
                (str(worker.load.lanes), str(worker.load.busy_lanes), str(worker.load.recordings))
                if worker.load.lanes
                else ("-", "-", "-")
            ),
            f"{clock(worker.silent_s)} ago",
        )
        for worker in _in_order(workers)
    ]
    return aligned(rows)


def workers_json(workers: Sequence[Worker], living: Collection[str]) -> list[str]:
    found = [
        {
            "id": worker.id,
            "host": worker.machine,
            "pid": worker.pid,
            "state": state_of(worker, living) or None,
            "lanes": worker.load.lanes,
            "busy_lanes": worker.load.busy_lanes,
            "recordings": worker.load.recordings,
            "started_at": utc_time(worker.started_at),
            "seconds_since_heartbeat": round(worker.silent_s, 1),
        }
        for worker in _in_order(workers)
    ]
    return [json.dumps(found)]


def state_of(worker: Worker, living: Collection[str]) -> WorkerState:
    return worker.load.state if worker.id in living else WorkerState.OFFLINE


def _in_order(workers: Sequence[Worker]) -> list[Worker]:
    return sorted(workers, key=lambda worker: (worker.machine, worker.started_at, worker.pid))
