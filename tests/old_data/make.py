"""Make the data folder of version 0.1 that test_old_data.py opens.

    python -m tests.old_data.make

To be run where version 0.1 is installed, and no other: the folder proves something as long as no
later version has touched it. All is made anew, recordings included: they are kept because keys
hold what is in them, and another encoder makes other bytes.

What is left behind, in the order in which it is begun:

- `talks`: finished recordings of three formats, one of them with words that the endpoint had lost
  and the audit asked for again; then runs that find them finished, and one more format.
- `calls`: a finished call, each channel on its own.
- `failed`: a recording that the endpoint refuses, a file that holds none, and a name without a
  file. An alert fires.
- `waiting`: two recordings that a budget did not reach; one of them is cancelled.
- `unfinished`: a run that was killed with one of three chunks stored and one on its way.
- `spooled`: its answer came while the ledger could not be written, and waits in a file.

The ledger and the metrics become SQL: one can read what is in them, and a change shows. The names
of this machine and of its folders are replaced, and all times lie in the past: no clock is behind
them, and what expires has expired, today as well as next year.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.calls import make_call
from tests.cloudru import CloudRu, Hang, Status, Style, make_recording
from tests.old_data.origin import fixed_origin
from tests.shell import Shell

HERE = Path(__file__).parent
RECORDINGS = HERE / "recordings"
FORMATS = ("-f", "txt,json")
LOSSY = Style(lose=(2.0, 15.0))
LEFT_AT = 1_704_110_400
"""The first of January 2024: when the folder is said to have been left."""

ELSEWHERE = "elsewhere 00000000-0000-0000-0000-000000000000"

Replaced = dict[str, str]


def record(folder: Path) -> None:
    """Small recordings, none of whose words is in another one."""
    for name in ("talks", "calls", "failed", "spooled", "waiting", "unfinished"):
        (folder / name).mkdir(parents=True)
    _mono(folder / "talks" / "talk.mp3", 6, 0x000, bit_rate=16_000)
    _mono(folder / "talks" / "memo.flac", 2, 0x100, word_gap_s=0.4)
    _opus(folder / "talks" / "lost.ogg", 16, 0x200)
    first = {"duration_s": 1.2, "first_word": 0x1000}
    second = {"duration_s": 2.4, "first_word": 0x2000, "lead_silence_s": 1.5}
    make_call(folder / "calls" / "call.flac", first, second)
    _opus(folder / "failed" / "refused.ogg", 3, 0x300)
    (folder / "failed" / "broken.mp3").write_bytes(b"no recording at all\n" * 10)
    _opus(folder / "spooled" / "kept.ogg", 4, 0x400)
    _opus(folder / "waiting" / "queued.ogg", 2, 0x500)
    _opus(folder / "waiting" / "cancelled.ogg", 2, 0x600)
    _opus(folder / "unfinished" / "long.ogg", 26, 0x700)


def _opus(path: Path, duration_s: float, first_word: int) -> None:
    """A kilobyte a second."""
    _mono(path, duration_s, first_word, bit_rate=6_000)


def _mono(path: Path, duration_s: float, first_word: int, **how: Any) -> None:
    make_recording(
        path, duration_s=duration_s, first_word=first_word, sample_rate=8_000, channels=1, **how
    )


class Making:
    """Runs of version 0.1, in the folder above the recordings; names are given as seen from it."""

    def __init__(self, shell: Shell, endpoint: CloudRu, folder: Path) -> None:
        self.shell = shell
        self._endpoint = endpoint
        self._folder = folder
        self._ledger = shell.home / "data" / "ledger.db"
        self._stored: tuple[str, ...] = ()

    def finish_talks(self) -> None:
        self._endpoint.style = LOSSY
        self._run(0, "talks", *FORMATS)
        self._endpoint.style = Style()
        # What changed within two seconds before it was hashed is hashed again; what is found in
        # the ledger alone counts as unchanged.
        time.sleep(2.1)
        shutil.rmtree(self.shell.home / ".cache")
        for formats in ("txt,json", "txt,json", "txt,json,srt"):
            self._run(0, "talks", "-f", formats)

    def finish_calls(self) -> None:
        self._run(0, "calls", "--channels", "split", *FORMATS)

    def fail(self) -> None:
        self._endpoint.faults = lambda _: Status(400)
        # As an argument a name without a file would be a mistake, in a list it is a failure.
        names = self.shell.home / "names"
        names.write_text("failed/gone.mp3\n")
        self._run(1, "failed", "--files-from", str(names), *FORMATS)
        self._endpoint.faults = None

    def leave_waiting(self) -> None:
        self._run(4, "waiting", "--max-cost", "0.001", *FORMATS)
        jobs = json.loads(self.ask("jobs", "list", "--json"))
        (cancelled,) = (job["id"] for job in jobs if "cancelled" in job["recording"])
        self.ask("jobs", "cancel", cancelled)

    def leave_unfinished(self) -> None:
        """Killed last of all, as the next run would see to what it leaves."""
        # The first answer takes so long that the run's metrics are begun.
        self._endpoint.latency_s = 2.5
        first = len(self._endpoint.received)
        self._endpoint.faults = lambda post: Hang() if post.number == first + 1 else None
        arguments = ("unfinished", "--chunk-duration", "10", "-j", "1", *FORMATS)
        run = self.shell.start("transcribe", *arguments, cwd=self._folder)
        self._wait_for_post(first + 1)
        self._stored = self._endpoint.received[first].words
        self._endpoint.latency_s = 0.0
        self._spool()
        run.kill()
        run.communicate()

    def _spool(self) -> None:
        """While its answer is on its way, a trigger is put in that does as a full disk does."""
        number = len(self._endpoint.received)
        self._endpoint.hold()
        run = self.shell.start("transcribe", "spooled", *FORMATS, cwd=self._folder)
        self._wait_for_post(number)
        self._change(
            """CREATE TRIGGER full BEFORE INSERT ON cache_entries
               BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"""
        )
        self._endpoint.resume()
        result = self.shell.finish(run)
        assert result.code == 1, result.err
        assert "what came in is kept in" in result.err, result.err
        self._change("DROP TRIGGER full")

    def _wait_for_post(self, number: int) -> None:
        """Until its words are known, so that all of it has been sent."""
        self._endpoint.wait_for(
            lambda e: len(e.received) > number and bool(e.received[number].words), 60
        )

    def told(self) -> dict[str, Any]:
        """What version 0.1 itself says of the folder, and what the first of three chunks said."""
        stats = json.loads(self.ask("stats", "--json", "--since", "36500d"))
        assert stats["recordings"]["unchanged"], "a run has found its recordings finished"
        kept = json.loads(self.ask("cache", "stats", "--json"))["levels"]["L3"]
        return {
            # Of a window that ends now.
            "stats": _without(stats, "since", "until"),
            "stored_words": self._stored,
            "jobs": json.loads(self.ask("jobs", "list", "--json")),
            "alerts": json.loads(self.ask("alerts", "list", "--json")),
            "cache": _without(kept, "disk_bytes"),
            "figures": sorted(
                line
                for line in self.ask("stats", "--prometheus").splitlines()
                if not line.startswith(("#", "sttbatch_build_info")) and not line.endswith(" 0.0")
            ),
        }

    def ask(self, *arguments: str) -> str:
        result = self.shell.run(*arguments)
        assert result.code == 0, result.err
        return result.out

    def replaced(self) -> Replaced:
        """What names this machine or a folder of it, and what stands for it."""
        with self._open(self._ledger) as ledger:
            hosts = [host for (host,) in ledger.execute("SELECT DISTINCT host FROM workers")]
        assert hosts, "the run that was killed is known"
        names = {str(self._folder): "/recordings", str(self.shell.home): "/home"}
        return {
            **names,
            **{_hex(name): _hex(other) for name, other in names.items()},
            **dict.fromkeys(hosts, ELSEWHERE),
        }

    def dump(self, name: str) -> str:
        with self._open(self.shell.home / "data" / name) as database:
            text = "\n".join(database.iterdump()) + "\n"
        # SQLite writes an infinity, here the end of a last bucket, as it cannot read it.
        return text.replace(",Inf,", ",9e999,")

    def move_to_the_past(self) -> None:
        by = int(time.time()) - LEFT_AT
        for name in ("ledger.db", "metrics.db"):
            with self._open(self.shell.home / "data" / name) as database, database:
                _move(database, by)

    def spooled(self) -> bytes:
        """What is written of the one file that holds something; the rest of its room is zeros."""
        files = sorted((self.shell.home / "data" / "answers").glob("*.answer"))
        (answer,) = filter(None, (path.read_bytes().rstrip(b"\0") for path in files))
        return answer

    def _run(self, code: int, *arguments: str) -> None:
        result = self.shell.transcribe(*arguments, cwd=self._folder)
        assert result.code == code, result.err

    def _change(self, statement: str) -> None:
        with self._open(self._ledger) as ledger, ledger:
            ledger.execute(statement)

    @staticmethod
    @contextlib.contextmanager
    def _open(path: Path) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(path)) as database:
            yield database


def _move(database: sqlite3.Connection, by_s: int) -> None:
    """Take so many seconds off all times; triggers that forbid changes are taken out meanwhile."""
    found = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    triggers = {name: sql for kind, name, sql in found if kind == "trigger"}
    for name in triggers:
        database.execute(f"DROP TRIGGER {name}")
    for kind, table, _ in found:
        columns = database.execute(f"PRAGMA table_info({table})") if kind == "table" else ()
        for _, name, declared, *_ in columns:
            # Of sqlite-utils' own table the times are text, and nobody reads them.
            if declared == "REAL" and (name == "at" or name.endswith("_at")):
                database.execute(f"UPDATE {table} SET {name} = {name} - ?", (by_s,))
            elif name.endswith("_ns"):
                database.execute(f"UPDATE {table} SET {name} = {name} - ?", (by_s * 10**9,))
    for sql in triggers.values():
        database.execute(sql)


def _without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


def _hex(text: str) -> str:
    """As SQL has the bytes of a path."""
    return text.encode().hex().upper()


def without_names(text: str, replaced: Replaced) -> str:
    for name, other in replaced.items():
        text = text.replace(name, other)
    for name in (*replaced, tempfile.gettempdir()):
        assert name not in text, f"{name} is in it"
    return text


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        CloudRu() as endpoint,
        fixed_origin(endpoint) as variables,
    ):
        home, folder = Path(root, "home").resolve(), Path(root, "recordings").resolve()
        home.mkdir()
        record(folder)
        settings = {"STTBATCH_CONFIG": str(HERE / "settings.toml")}
        making = Making(Shell(home, endpoint, variables | settings), endpoint, folder)
        version = making.ask("--version")
        if " 0.1." not in version:
            sys.exit(f"this is {version}")
        making.finish_talks()
        making.finish_calls()
        making.fail()
        making.leave_waiting()
        making.leave_unfinished()
        replaced = making.replaced()
        making.move_to_the_past()
        told = json.dumps(making.told(), indent=1)
        for name in ("ledger", "metrics"):
            dump = without_names(making.dump(f"{name}.db"), replaced)
            (HERE / f"{name}.sql").write_text(dump, "utf-8")
        (HERE / "told.json").write_text(without_names(told, replaced) + "\n", "utf-8")
        (HERE / "spooled.answer").write_bytes(making.spooled())
        shutil.rmtree(RECORDINGS, ignore_errors=True)
        shutil.copytree(folder, RECORDINGS)
        assert endpoint.errors == []


if __name__ == "__main__":
    main()
