"""Several machines at one PostgreSQL: homes of their own, one ledger."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sttbatch.database.opening import open_ledger
from tests.cloudru import CloudRu, Heard, hear, make_recording
from tests.database.backends import schema_url
from tests.database.distance import distant
from tests.database.postgresql import PostgreSQL, postgresql, programs
from tests.shell import Shell

REFUSE_RESULTS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON cache_entries EXECUTE FUNCTION refuse()"""


@pytest.fixture
def url(postgresql_server: PostgreSQL, tmp_path: Path) -> str:
    del postgresql_server
    return schema_url(tmp_path)


@pytest.fixture
def machines(tmp_path: Path, cloudru: CloudRu, url: str) -> tuple[Shell, Shell]:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = (Shell(tmp_path / name, cloudru) for name in ("one", "other"))
    one.extra["STTBATCH_DATABASE_URL"] = other.extra["STTBATCH_DATABASE_URL"] = url
    return one, other


@pytest.fixture
def talk(folder: Path) -> Path:
    make_recording(folder / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    return folder / "talk.wav"


def figures(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.run("stats", "--json").out)
    return found


def said_of_the_database(shell: Shell) -> str:
    """What doctor says."""
    findings = json.loads(shell.run("doctor", "--json").out)["findings"]
    (text,) = (each["text"] for each in findings if each["name"] == "database")
    return str(text)


def test_two_machines_share_results_jobs_and_figures(
    machines: tuple[Shell, Shell], cloudru: CloudRu, talk: Path, tmp_path: Path
) -> None:
    one, other = machines
    first = one.transcribe(talk)
    assert first.code == 0, first.err
    second = other.transcribe(talk, "-o", tmp_path / "out")
    assert second.code == 0, second.err
    assert "from cache" in second.err
    assert len(cloudru.received) == 1
    assert "COMPLETED" in other.run("jobs", "list").out
    assert figures(one)["runs"]["total"] == figures(other)["runs"]["total"] == 2
    assert "L3 2 values checked" in other.run("cache", "verify").out
    assert not (one.home / "data" / "ledger.db").exists()
    checked = other.run("database", "check", "--explain", "--json")
    assert checked.code == 0, checked.out
    forgotten = other.run("cache", "invalidate", "--file", talk)
    assert forgotten.code == 0
    assert "run it on them too" in forgotten.out
    assert one.run("cache", "invalidate", "--all").code == 0
    assert one.transcribe(talk, "-o", tmp_path / "again").code == 0
    assert len(cloudru.received) == 2


def test_no_job_is_taken_from_a_living_machine(
    machines: tuple[Shell, Shell], cloudru: CloudRu, talk: Path
) -> None:
    one, other = machines
    cloudru.hold()
    running = one.start("transcribe", talk)
    cloudru.wait_for(lambda seen: len(seen.received) == 1)
    busy = other.transcribe(talk, "--no-wait")
    assert busy.code == 0, busy.err
    assert "1 claimed by another run" in busy.err
    cloudru.resume()
    assert one.finish(running).code == 0
    assert len(cloudru.received) == 1


@pytest.mark.slow
def test_a_ledger_moves_to_postgresql_and_back(
    machines: tuple[Shell, Shell], cloudru: CloudRu, talk: Path, url: str, tmp_path: Path
) -> None:
    one, other = machines
    one.extra.clear()
    assert one.transcribe(talk).code == 0
    there = one.run("database", "copy", one.home / "data", url)
    assert there.code == 0, there.err
    assert there.out.startswith("copied 2 results, 1 request, 1 job, 2 outputs, 1 run, ")
    again = one.run("database", "copy", one.home / "data", url)
    assert again.code == 1
    assert "is not empty" in again.err
    assert other.transcribe(talk, "-o", tmp_path / "out").code == 0
    back = one.run("database", "copy", url, tmp_path / "back")
    assert back.code == 0, back.err
    one.extra["STTBATCH_DATA_DIR"] = str(tmp_path / "back")
    assert one.transcribe(talk, "-o", tmp_path / "home").code == 0
    assert len(cloudru.received) == 1
    assert figures(one)["runs"]["total"] == 3
    missing = one.run("database", "copy", tmp_path / "nowhere", url)
    assert (missing.code, "has no ledger.db" in missing.err) == (2, True)


def test_a_copy_from_postgresql_takes_what_this_machine_could_not_store(
    machines: tuple[Shell, Shell], cloudru: CloudRu, talk: Path, url: str, tmp_path: Path
) -> None:
    one, _ = machines
    with contextlib.closing(open_ledger(one.home, url)), psycopg.connect(url) as server:
        server.execute(REFUSE_RESULTS)
    assert one.transcribe(talk).code == 1
    with psycopg.connect(url) as server:
        server.execute("DROP FUNCTION refuse CASCADE")
        assert server.execute("SELECT count(*) FROM cache_entries").fetchall() == [(0,)]
    copied = one.run("database", "copy", url, tmp_path / "new")
    assert copied.code == 0, copied.err
    assert copied.out.startswith("copied 1 result, 1 request, ")
    del one.extra["STTBATCH_DATABASE_URL"]
    one.extra["STTBATCH_DATA_DIR"] = str(tmp_path / "new")
    assert one.transcribe(talk).code == 0
    assert len(cloudru.received) == 1


def test_outputs_keep_their_machine_in_a_copy(
    machines: tuple[Shell, Shell], talk: Path, url: str, tmp_path: Path
) -> None:
    one, _ = machines
    one.extra.clear()
    assert one.transcribe(talk).code == 0
    assert one.run("database", "copy", one.home / "data", url).code == 0
    with psycopg.connect(url) as server:
        hosts = server.execute("SELECT DISTINCT host FROM outputs").fetchall()
    assert hosts == [(platform.node(),)]
    assert one.run("database", "copy", url, tmp_path / "back").code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "back" / "ledger.db")) as ledger:
        assert ledger.execute("SELECT DISTINCT host FROM outputs").fetchall() == [("",)]


@pytest.mark.slow
def test_a_copy_that_failed_is_made_again_and_takes_every_text(
    machines: tuple[Shell, Shell], talk: Path, url: str
) -> None:
    one, _ = machines
    one.extra.clear()
    assert one.transcribe(talk).code == 0
    with contextlib.closing(sqlite3.connect(one.home / "data" / "ledger.db")) as ledger, ledger:
        # Earlier versions stored what PostgreSQL refuses.
        ledger.execute("UPDATE requests SET error = ?", ("not \0 UTF-8",))
    with contextlib.closing(open_ledger(one.home, url)), psycopg.connect(url) as server:
        server.execute("INSERT INTO alerts VALUES ('a', 'c', 1.0)")
    refused = one.run("database", "copy", one.home / "data", url)
    assert (refused.code, "it has rows in alerts" in refused.err) == (1, True)
    with psycopg.connect(url) as server:
        server.execute("DELETE FROM alerts")
    again = one.run("database", "copy", one.home / "data", url)
    assert again.code == 0, again.err
    with psycopg.connect(url) as server:
        assert server.execute("SELECT error FROM requests").fetchall() == [("not \\x00 UTF-8",)]


def test_a_database_is_described_without_its_password(
    machines: tuple[Shell, Shell], url: str
) -> None:
    one, _ = machines
    one.extra["STTBATCH_DATABASE_URL"] = url.replace("@", ":secret@")
    text = said_of_the_database(one)
    for wanted in (
        "PostgreSQL 1",
        "schema 00",
        " ms away",
        " of 60 connections ",
        "clock",
        "connected: ",
    ):
        assert wanted in text
    shown = one.run("config", "show").out
    assert ":***@" in shown
    one.extra["STTBATCH_DATABASE_URL"] = "postgresql://me:secret@127.0.0.1:1/ledger"
    refused = one.run("jobs", "list")
    assert refused.code == 1
    assert "PostgreSQL ledger at 127.0.0.1:1: " in refused.err
    assert "Connection refused" in refused.err
    one.extra["STTBATCH_DATABASE_URL"] = "mysql://me:secret@db/ledger"
    wrong = one.run("jobs", "list")
    assert (wrong.code, "postgresql://" in wrong.err) == (2, True)
    assert "secret" not in text + shown + refused.err + wrong.err


def test_a_database_that_is_far_away_is_a_warning(
    machines: tuple[Shell, Shell], postgresql_server: PostgreSQL, url: str
) -> None:
    one, _ = machines
    with distant(postgresql_server, 0.002) as folder:
        one.extra["STTBATCH_DATABASE_URL"] = url.replace(str(postgresql_server.folder), str(folder))
        text = said_of_the_database(one)
    found = re.search(r"([\d.]+) ms away: each chunk waits for about 20; run it nearer", text)
    assert found, text
    assert float(found[1]) >= 4.0


def test_without_the_extra_it_says_what_to_install(
    machines: tuple[Shell, Shell], tmp_path: Path
) -> None:
    one, _ = machines
    (tmp_path / "none" / "psycopg").mkdir(parents=True)
    (tmp_path / "none" / "psycopg" / "__init__.py").write_text(
        "raise ModuleNotFoundError(name='psycopg')"
    )
    one.extra["PYTHONPATH"] = str(tmp_path / "none")
    result = one.run("jobs", "list")
    assert result.code == 2
    assert "needs psycopg: pip install 'sttbatch[cluster]'" in result.err


@pytest.mark.parametrize("away_s", [0, pytest.param(20, marks=pytest.mark.slow)])
def test_a_server_that_is_away_for_a_while_loses_nothing(
    cloudru: CloudRu, folder: Path, home: Path, away_s: int
) -> None:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL 15 or newer is not installed (Debian: postgresql)")
    recordings = 4
    for number in range(recordings):
        make_recording(
            folder / f"{number}.wav", duration_s=11, sample_rate=8_000, channels=1,
            first_word=100 * number,
        )  # fmt: skip
    answered, is_away = threading.Event(), threading.Event()

    def answer(data: bytes) -> Heard:
        answered.set()
        is_away.wait(60)
        return hear(data)

    cloudru.recognise = answer
    with postgresql(found) as server:
        shell = Shell(home, cloudru, {"STTBATCH_DATABASE_URL": server.url})
        running = shell.start("transcribe", folder, "-j", "2")
        assert answered.wait(60)
        server.stop()
        is_away.set()
        # Answers come that cannot be stored yet.
        cloudru.wait_for(lambda seen: any(each.status == 200 for each in seen.received))
        time.sleep(away_s)
        server.start()
        result = shell.finish(running)
        if away_s and result.code:
            # Its latest heartbeat was a while before.
            assert "could not tell the ledger" in result.err
            result = shell.transcribe(folder, "-j", "2")
        assert result.code == 0, result.err
    assert len(cloudru.received) == recordings
