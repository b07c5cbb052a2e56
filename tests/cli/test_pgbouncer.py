"""Several machines at one PostgreSQL behind PgBouncer, which gives each transaction any process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cloudru import CloudRu, make_recording
from tests.database.pgbouncer import pgbouncer, program
from tests.database.postgresql import PostgreSQL
from tests.shell import Shell

RECORDINGS = 6


@pytest.fixture
def url(postgresql_server: PostgreSQL) -> Iterator[str]:
    found = program()
    if found is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    with psycopg.connect(postgresql_server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE bounced")
        with pgbouncer(found, postgresql_server, "bounced") as address:
            yield address
        admin.execute("DROP DATABASE bounced WITH (FORCE)")


@pytest.mark.slow
def test_machines_behind_pgbouncer_share_a_batch(
    cloudru: CloudRu, url: str, folder: Path, tmp_path: Path
) -> None:
    for number in range(RECORDINGS):
        make_recording(
            folder / f"{number}.wav", duration_s=4.0, sample_rate=8_000, channels=1,
            first_word=100 * number,
        )  # fmt: skip
    machines = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        machines.append(Shell(tmp_path / name, cloudru, {"STTBATCH_DATABASE_URL": url}))
    running = [each.start("transcribe", folder, "-o", each.home / "out") for each in machines]
    for machine, process in zip(machines, running, strict=True):
        result = machine.finish(process)
        assert result.code == 0, result.err
        assert len(list((machine.home / "out").glob("*.txt"))) == RECORDINGS
    assert len(cloudru.received) == RECORDINGS
    checked = machines[0].run("database", "check", "--explain", "--json")
    assert checked.code == 0, checked.out
    figures = json.loads(machines[1].run("stats", "--json").out)
    assert figures["runs"]["total"] == 2
