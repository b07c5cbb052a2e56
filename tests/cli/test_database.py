"""database check, while others work at the ledger."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell


def test_repair_ends_no_claim_of_a_living_run(shell: Shell, cloudru: CloudRu, folder: Path) -> None:
    talk = folder / "talk.wav"
    make_recording(talk, duration_s=11, sample_rate=8_000, channels=1)
    cloudru.hold()
    running = shell.start("transcribe", talk)
    cloudru.wait_for(lambda seen: len(seen.received) == 1)
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as ledger, ledger:
        # As if another machine, which cannot see its lock, had taken it for dead.
        ledger.execute("DELETE FROM workers")
    shell.run("database", "check", "--repair")
    assert [job["status"] for job in json.loads(shell.run("jobs", "list", "--json").out)] == [
        "PROCESSING"
    ]
    cloudru.resume()
    assert shell.finish(running).code == 0
    assert len(cloudru.received) == 1
    checked = shell.run("database", "check")
    assert checked.code == 0
    databases = {line.split()[1].rstrip(":,") for line in checked.out.splitlines()}
    assert databases == {"ledger", "metrics", "database"}
