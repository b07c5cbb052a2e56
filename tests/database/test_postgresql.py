"""Real faults of a PostgreSQL server: nothing is lost, doubled, or told with the password."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from sttbatch.core.errors import StateError, UsageError
from sttbatch.database import postgresql_connections
from sttbatch.database.database import Database
from sttbatch.database.ledger_schema import LEDGER, LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS, METRICS_HISTORY
from sttbatch.database.migrations import History
from sttbatch.database.postgresql import PostgreSQLStore
from sttbatch.database.postgresql_schema import MIGRATION_LOCK
from sttbatch.database.results import SqlResultStore
from sttbatch.database.store import Session
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL

NUMBERS = History("test", "numbers", {"1": ("CREATE TABLE numbers (number INTEGER) STRICT",)})
WRITES = 300
PASSWORD = "geheim"
KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name LIKE 'sttbatch %' AND state <> 'idle'
              AND query ~ 'numbers|last_commits|advisory|COMMIT'"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(postgresql_server: PostgreSQL) -> PostgreSQL:
    return postgresql_server


@pytest.fixture
def url(server: PostgreSQL, tmp_path: Path) -> str:
    """The address of an empty schema, with a password that nobody asks for."""
    return schema_url(tmp_path).replace("@", f":{PASSWORD}@", 1)


@contextlib.contextmanager
def opened(url: str, **options: Any) -> Iterator[PostgreSQLStore]:
    store = PostgreSQLStore(url, NUMBERS, **options)
    store.open()
    with contextlib.closing(store):
        yield store


def put(store: PostgreSQLStore, number: int) -> None:
    store.transact(lambda session: session.execute("INSERT INTO numbers VALUES (?)", (number,)))


def numbers(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT number FROM numbers ORDER BY number")
        return [number for (number,) in rows]


@contextlib.contextmanager
def killed_connections(url: str) -> Iterator[None]:
    """Server processes that do something end every few milliseconds."""
    ended = threading.Event()

    def kill() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.wait(0.002):
                connection.execute(KILL)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            ended.set()
        killing.result()


def test_no_write_is_lost_or_doubled_when_connections_are_lost(url: str) -> None:
    with opened(url) as store, killed_connections(url):
        for number in range(WRITES):
            put(store, number)
    assert numbers(url) == [*range(WRITES)]


def test_no_write_is_lost_or_doubled_when_the_server_crashes(server: PostgreSQL, url: str) -> None:
    begun = threading.Event()

    def crash() -> None:
        begun.wait()
        server.stop("immediate")
        server.start()

    with opened(url) as store, ThreadPoolExecutor(1) as pool:
        crashing = pool.submit(crash)
        number = 0
        while not crashing.done():
            put(store, number)
            number += 1
            if number == WRITES:
                begun.set()
        crashing.result()
        put(store, number)
    assert numbers(url) == [*range(number + 1)]


def configure(admin: psycopg.Connection[Any], setting: str) -> None:
    """Change a setting of the server, for every session."""
    admin.execute(f"ALTER SYSTEM {setting}".encode())
    admin.execute("SELECT pg_reload_conf()")


def holds(admin: psycopg.Connection[Any], condition: str) -> bool:
    """Whether it is true of a server process."""
    query = f"SELECT FROM pg_stat_activity WHERE {condition}"
    return bool(admin.execute(query.encode()).fetchall())


def wait_for(admin: psycopg.Connection[Any], condition: str) -> None:
    """Until it is true of a server process."""
    while not holds(admin, condition):
        time.sleep(0.01)


def test_a_commit_whose_answer_was_lost_is_not_repeated(url: str) -> None:
    with (
        opened(url) as store,
        psycopg.connect(url, autocommit=True) as admin,
        ThreadPoolExecutor(1) as pool,
    ):
        # A commit that has been made waits for a machine that is not there.
        configure(admin, "SET synchronous_standby_names = 'nobody'")
        try:
            admin.execute("SET synchronous_commit = local")
            writing = pool.submit(put, store, 1)
            while not holds(admin, "wait_event = 'SyncRep'"):
                if writing.done():
                    # Its processes learn of a setting one after the other.
                    admin.execute("DELETE FROM numbers")
                    writing = pool.submit(put, store, 1)
                time.sleep(0.01)
            assert numbers(url) == []
            admin.execute(KILL)
        finally:
            configure(admin, "RESET synchronous_standby_names")
        writing.result()
    assert numbers(url) == [1]


def test_only_what_may_be_lost_is_committed_without_the_disk(url: str) -> None:
    """A server process that PgBouncer gives to several stores keeps what one of them sets."""

    def setting(session: Session) -> str:
        return str(session.execute("SHOW synchronous_commit").fetchone()[0])

    with opened(url) as kept, opened(url, durable=False) as lost:
        assert (kept.transact(setting), lost.transact(setting)) == ("on", "off")
        assert lost.read(setting) == "on"


def test_indexes_are_rebuilt_while_others_read_and_then_write(url: str) -> None:
    history = History(
        "test", "numbers", {"1": ("CREATE TABLE kept (a INTEGER PRIMARY KEY) STRICT",)}
    )
    one, other = PostgreSQLStore(url, history), PostgreSQLStore(url, history)
    with (
        contextlib.closing(one),
        contextlib.closing(other),
        psycopg.connect(url, autocommit=True) as admin,
        ThreadPoolExecutor(1) as pool,
    ):
        one.open()
        other.open()
        has_read = threading.Event()

        def read_and_write(session: Session) -> None:
            assert not session.execute("SELECT a FROM kept WHERE a = 1").fetchall()
            has_read.set()
            wait_for(admin, "wait_event_type = 'Lock'")
            session.execute("INSERT INTO kept VALUES (1)")

        writing = pool.submit(one.transact, read_and_write)
        assert has_read.wait(60)
        other.rebuild_indexes()
        writing.result()


# Each commit takes long, until the server is another one.
SLOW_COMMITS = """
    CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF pg_postmaster_start_time() = '{}' THEN PERFORM pg_sleep(60); END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER sleep AFTER INSERT ON numbers DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION sleep()"""


def test_a_commit_that_a_crash_undid_is_repeated(server: PostgreSQL, url: str) -> None:
    """Though another transaction was then given the number of the one that was lost."""
    with opened(url) as store, ThreadPoolExecutor(1) as pool:
        with psycopg.connect(url, autocommit=True) as admin:
            ((begun_at,),) = admin.execute("SELECT pg_postmaster_start_time()::text").fetchall()
            admin.execute(SLOW_COMMITS.format(begun_at).encode())
            writing = pool.submit(put, store, 1)
            wait_for(admin, "query = 'COMMIT' AND state = 'active'")
        server.stop("immediate")
        server.start()
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("INSERT INTO numbers VALUES (2)")
        writing.result()
    assert numbers(url) == [1, 2]


def test_a_write_waits_for_a_server_that_is_away_for_a_while(server: PostgreSQL, url: str) -> None:
    with opened(url) as store, ThreadPoolExecutor(1) as pool:
        server.stop("fast")
        writing = pool.submit(put, store, 1)
        try:
            with pytest.raises(TimeoutError):
                writing.result(2.0)
        finally:
            server.start()
        writing.result()
    assert numbers(url) == [1]


def test_a_server_that_stays_away_is_named_and_used_when_it_is_back(
    server: PostgreSQL, url: str
) -> None:
    def write(number: int) -> Callable[[Session], object]:
        return lambda session: session.execute("INSERT INTO numbers VALUES (?)", (number,))

    async def story() -> None:
        with contextlib.closing(Database(PostgreSQLStore(url, NUMBERS, patience_s=0.5))) as db:
            server.stop("fast")
            try:
                with pytest.raises(StateError) as told:
                    await db.write(write(1))
            finally:
                server.start()
            await db.write(write(2))
        assert f"PostgreSQL postgres at {server.folder}:5432: " in str(told.value)
        assert "No such file or directory" in str(told.value)
        assert PASSWORD not in str(told.value)

    asyncio.run(story())
    assert numbers(url) == [2]


def test_a_server_that_stays_away_is_waited_for_once(
    server: PostgreSQL, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends writes several times, and must not wait each time."""
    monkeypatch.setattr(postgresql_connections, "RETRY_S", 0.1)
    with opened(url, patience_s=3.0) as store:
        server.stop("fast")
        try:
            waits_s = []
            for number in range(2):
                begun_at = time.monotonic()
                with pytest.raises(psycopg.Error):
                    put(store, number)
                waits_s.append(time.monotonic() - begun_at)
        finally:
            server.start()
        put(store, 2)
    assert waits_s[0] >= 3.0
    assert waits_s[1] < 2.0
    assert numbers(url) == [2]


def test_a_server_that_one_store_waited_for_in_vain_is_waited_for_by_no_other(
    server: PostgreSQL, url: str
) -> None:
    """A run that ends closes its ledger, its metrics and the rate limit, one after the other."""
    with opened(url, patience_s=0.5) as one, opened(url, patience_s=3600.0) as other:
        server.stop("fast")
        try:
            for store in (one, other):
                with pytest.raises(psycopg.Error):
                    put(store, 1)
        finally:
            server.start()
        put(other, 2)
        put(one, 3)
    assert numbers(url) == [2, 3]


def test_reads_are_repeated_when_the_connection_is_lost(url: str) -> None:
    runs = 0

    def count(session: Session) -> int:
        nonlocal runs
        runs += 1
        ((own,),) = session.execute("SELECT pg_backend_pid()").fetchall()
        if runs == 1:
            with psycopg.connect(url) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", (own,))
        ((found,),) = session.execute("SELECT count(*) FROM numbers").fetchall()
        return int(found)

    async def story() -> None:
        with contextlib.closing(Database(PostgreSQLStore(url, NUMBERS))) as database:
            assert await database.read(count) == 0

    asyncio.run(story())
    assert runs == 2


def test_who_opens_an_empty_schema_together_makes_each_table_once(url: str) -> None:
    together = threading.Barrier(6)

    def open_(history: History) -> None:
        together.wait()
        store = PostgreSQLStore(url, history)
        store.open()
        store.close()

    with ThreadPoolExecutor(6) as pool:
        for opening in [pool.submit(open_, each) for each in 3 * [LEDGER_HISTORY, METRICS_HISTORY]]:
            opening.result()
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT name FROM schema_steps ORDER BY history, name")
        assert [name for (name,) in rows] == [*LEDGER, *METRICS]


def test_a_schema_that_is_complete_is_opened_without_a_write_or_a_wait(url: str) -> None:
    with opened(url):
        pass
    reading = f"{url}%20-cdefault_transaction_read_only%3Don%20-clock_timeout%3D100"
    with psycopg.connect(url) as other:
        # As another process that migrates.
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        with opened(reading) as store:
            assert store.read(lambda session: session.execute("SELECT 1").fetchall()) == [(1,)]


def test_a_newer_schema_is_refused_with_what_to_do(url: str) -> None:
    newer = {**NUMBERS.steps, "9999_future": ("CREATE TABLE future (x INTEGER) STRICT",)}
    store = PostgreSQLStore(url, replace(NUMBERS, steps=newer))
    store.open()
    store.close()
    with pytest.raises(StateError, match=r"newer sttbatch .*9999_future.*STTBATCH_DATABASE_URL"):
        Database(PostgreSQLStore(url, NUMBERS))


def test_a_step_that_fails_leaves_nothing(url: str) -> None:
    broken = {**NUMBERS.steps, "2": ("CREATE TABLE half (x INTEGER)", "CREATE TABLE half (x REAL)")}
    with pytest.raises(StateError, match='relation "half" already exists'):
        Database(PostgreSQLStore(url, replace(NUMBERS, steps=broken)))
    with opened(url) as store:
        put(store, 1)
    assert numbers(url) == [1]


@pytest.fixture
def guarded(server: PostgreSQL, url: str) -> Iterator[str]:
    """The address with an account whose password is another one."""
    rules = server.folder / "data" / "pg_hba.conf"
    trusting = rules.read_text()
    rules.write_text(f"local all guarded scram-sha-256\n{trusting}")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'another'")
        admin.execute("SELECT pg_reload_conf()")
        yield f"postgresql://guarded:{PASSWORD}@/postgres?host={server.folder}"
        rules.write_text(trusting)
        admin.execute("DROP ROLE guarded")
        admin.execute("SELECT pg_reload_conf()")


def refusal(url: str) -> str:
    with pytest.raises(StateError) as refused:
        Database(PostgreSQLStore(url, NUMBERS))
    assert PASSWORD not in str(refused.value)
    return str(refused.value)


def test_what_is_wrong_with_an_address_is_named(server: PostgreSQL, url: str, guarded: str) -> None:
    assert 'password authentication failed for user "guarded"' in refusal(guarded)
    assert 'database "nothing" does not exist' in refusal(url.replace("/postgres?", "/nothing?"))
    wrong_port = refusal(f"{url}&port=1")
    assert f"at {server.folder}:1: " in wrong_port
    assert "No such file or directory" in wrong_port
    nobody = refusal(f"postgresql://u:{PASSWORD}@localhost:1/x")
    assert "PostgreSQL x at localhost:1: " in nobody
    assert "Connection refused" in nobody
    assert "no.such.host.invalid" in refusal(f"postgresql://u:{PASSWORD}@no.such.host.invalid/x")


@pytest.mark.parametrize(
    "unreadable",
    [
        f"postgresql://u:{PASSWORD}%@h/x",
        f"host=h {PASSWORD}",
        "/var/lib/ledger.db",
        f"postgresql://u:1@{PASSWORD}@h/x",
        f"postgresql://u:1/{PASSWORD}@h/x",
    ],
)
def test_what_is_no_address_is_not_repeated(unreadable: str) -> None:
    with pytest.raises(UsageError, match="postgresql://user@host:5432/database") as refused:
        PostgreSQLStore(unreadable, NUMBERS)
    assert PASSWORD not in str(refused.value)


def test_another_encoding_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            assert "its encoding must be UTF8" in refusal(url.replace("/postgres?", "/latin?"))
        finally:
            admin.execute("DROP DATABASE latin WITH (FORCE)")


def test_text_is_utf_8_whatever_libpq_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with opened(url) as store:
        rows = store.read(lambda session: session.execute("SELECT ?", ("речь",)).fetchall())
    assert rows == [("речь",)]


ENTRIES = """INSERT INTO cache_entries (key, value, sha256, created_at, model)
    SELECT 'chunk:' || lpad(number::text, 5, '0'), ''::bytea, ''::bytea, 1.0, 'model'
    FROM generate_series(1, 3000) AS number"""
DELETE = """DELETE FROM cache_entries
    WHERE key >= 'chunk:01000' AND key < 'chunk:02000' OR key > 'chunk:02900'"""
READ = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'cache_entries'::regclass"


def test_all_results_are_checked_without_reading_them_again_for_each_page(url: str) -> None:
    async def keys() -> list[str]:
        with contextlib.closing(Database(PostgreSQLStore(url, LEDGER_HISTORY))) as database:
            await database.write(lambda session: session.execute(ENTRIES))
            # Pages in the middle and at the end have no rows.
            await database.write(lambda session: session.execute(DELETE))
            entries = [entry.key async for entry in SqlResultStore(database).check()]
            await database.write(lambda db: db.execute("SELECT pg_stat_force_next_flush()"))
            ((read,),) = await database.rows(READ)
        # A row is read several times at most, and not once for each of 60 pages.
        assert read < 20 * 3000
        return entries

    kept = [number for number in range(1, 2901) if not 1000 <= number < 2000]
    assert asyncio.run(keys()) == [f"chunk:{number:05}" for number in kept]


def test_marks_of_commits_are_forgotten_after_a_day(url: str) -> None:
    for _ in range(2):
        with opened(url) as store:
            put(store, 1)
        with psycopg.connect(url) as admin:
            ((kept,),) = admin.execute("SELECT count(*) FROM last_commits").fetchall()
            assert kept == 1
            admin.execute("UPDATE last_commits SET at = at - interval '25 hours'")


def python(program: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **variables},
    )  # fmt: skip


STOPPED = """
import sys
from tests.database.test_postgresql import opened

def work(session):
    session.execute("INSERT INTO numbers VALUES (1)")
    print("in", flush=True)
    sys.stdin.readline()

with opened(sys.argv[1], stopped_s=1.0) as store:
    store.transact(work)
"""


def test_a_process_that_stops_within_a_transaction_does_not_hold_the_others(url: str) -> None:
    with python(STOPPED, url) as stopped:
        try:
            assert stopped.stdout is not None
            assert stopped.stdout.readline() == "in\n"
            stopped.send_signal(signal.SIGSTOP)
            begun_at = time.monotonic()
            with opened(url) as store:
                put(store, 2)
            assert time.monotonic() - begun_at < 10
            assert numbers(url) == [2]
            stopped.send_signal(signal.SIGCONT)
            out, _ = stopped.communicate("\n\n", timeout=30)
            # Its transaction was undone, so that it began it again.
            assert (out, stopped.returncode) == ("in\n", 0)
        finally:
            stopped.kill()
    assert numbers(url) == [1, 2]


DAYS = """
import sys, time
from tests.database.test_postgresql import opened

times = [1_700_000_000.0 + 7 * 3600 * n for n in range(48)]
with opened(sys.argv[1]) as store:
    for at in times:
        ((day,),) = store.read(lambda db: db.execute("SELECT local_day(?)", (at,)).fetchall())
        assert day == time.strftime("%Y-%m-%d", time.localtime(at)), (day, at)
"""


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "XYZ-5:30", ":America/Los_Angeles"])
def test_days_are_those_of_this_machine(url: str, zone: str) -> None:
    with python(DAYS, url, TZ=zone) as process:
        process.communicate(timeout=30)
    assert process.returncode == 0
