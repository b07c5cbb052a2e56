from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import Hindered, RecordingError
from sttbatch.core.file_records import OutputDigests
from sttbatch.core.locations import Location
from sttbatch.core.options import OutputOptions
from sttbatch.database.database import Database
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter, Written
from tests.outputs.examples import document, recorded, recording, saying, with_ledger, write
from tests.queue.harness import Ledger


@pytest.fixture
def talk(tmp_path: Path) -> Recording:
    return recording(tmp_path / "talks" / "talk.mp3")


@pytest.fixture
def output(talk: Recording) -> Path:
    return Path(talk.path).with_suffix(".txt")


def say(ledger: Ledger, talk: Recording, text: str, *, overwrite: bool = False) -> Written:
    return write(ledger, talk, saying(text, formats=("txt",), overwrite=overwrite))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".sttbatch-*"))


def test_every_format_is_written_and_recorded(
    ledger: Ledger, tmp_path: Path, talk: Recording
) -> None:
    formats = ("json", "txt", "srt", "vtt", "tsv")
    written = write(ledger, talk, document(formats=formats))
    assert [path.suffix[1:] for path in written.paths] == list(formats)
    assert written.untouched == ()
    assert recorded(ledger) == {path.name: digest(Path(path)) for path in written.paths}
    assert leftovers(tmp_path) == []


def test_an_output_is_as_readable_as_any_file(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    before = os.umask(0o027)
    try:
        say(ledger, talk, "Hi.")
    finally:
        os.umask(before)
    assert stat.S_IMODE(output.stat().st_mode) == 0o640


def test_missing_folders_are_made(ledger: Ledger, tmp_path: Path, talk: Recording) -> None:
    there = tmp_path / "out" / "deep"
    written = write(ledger, talk, saying("Hi.", formats=("txt",), directory=there))
    assert written.paths == (there / "talk.txt",)
    assert written.paths[0].read_text() == "Hi.\n"


def test_no_formats_no_files(ledger: Ledger, talk: Recording) -> None:
    assert write(ledger, talk, saying("Hi.", formats=())) == Written(())


def test_what_is_up_to_date_is_not_touched(ledger: Ledger, talk: Recording, output: Path) -> None:
    first = say(ledger, talk, "Hi.")
    before = output.stat()
    assert say(ledger, talk, "Hi.") == first
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_our_own_output_is_replaced_and_a_missing_one_rewritten(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    say(ledger, talk, "Hi.")
    say(ledger, talk, "Hello.")
    assert output.read_text() == "Hello.\n"
    output.unlink()
    assert say(ledger, talk, "Hello.").paths == (output,)
    assert output.read_text() == "Hello.\n"


def test_a_file_of_somebody_else_is_kept_until_told_otherwise(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    output.write_text("my notes")
    written = write(ledger, talk, saying("Hi."))
    assert written == Written((output.with_suffix(".json"),), (output,))
    assert output.read_text() == "my notes"
    assert say(ledger, talk, "Hi.", overwrite=True) == Written((output,))
    assert output.read_text() == "Hi.\n"


def test_an_edited_output_is_kept_until_told_otherwise(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    say(ledger, talk, "Hi.")
    output.write_text("Hi!\n")
    for _ in range(2):
        assert say(ledger, talk, "Hi.").untouched == (output,)
        assert output.read_text() == "Hi!\n"
    say(ledger, talk, "Hi.", overwrite=True)
    assert say(ledger, talk, "Hello.").paths == (output,)


def test_a_file_with_the_very_same_bytes_is_adopted(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    output.write_text("Hi.\n")
    before = output.stat()
    assert say(ledger, talk, "Hi.").paths == (output,)
    assert output.stat().st_ino == before.st_ino
    assert recorded(ledger) == {"talk.txt": digest(output)}
    assert say(ledger, talk, "Hello.").paths == (output,)


@pytest.mark.parametrize("content", ["Hi.\n", "precious"])
def test_a_symlink_is_never_followed(
    ledger: Ledger, tmp_path: Path, talk: Recording, output: Path, content: str
) -> None:
    target = tmp_path / "target"
    target.write_text(content)
    output.symlink_to(target)
    assert say(ledger, talk, "Hi.").untouched == (output,)
    assert output.is_symlink()
    say(ledger, talk, "Hi.", overwrite=True)
    assert not output.is_symlink()
    assert target.read_text() == content


def test_a_pipe_is_not_read(ledger: Ledger, talk: Recording, output: Path) -> None:
    os.mkfifo(output)
    assert say(ledger, talk, "Hi.").untouched == (output,)


def test_a_folder_of_that_name_is_an_error_that_names_it(
    ledger: Ledger, tmp_path: Path, talk: Recording, output: Path
) -> None:
    output.mkdir()
    with pytest.raises(RecordingError, match=r"talk\.txt cannot be written.*move it away"):
        write(ledger, talk, saying("Hi.", overwrite=True))
    assert leftovers(tmp_path) == []
    assert recorded(ledger) == {}


def test_a_file_in_place_of_the_folder_is_an_error(
    ledger: Ledger, tmp_path: Path, talk: Recording
) -> None:
    for name in ("out", "out/deeper"):
        (tmp_path / "out").write_text("a file")
        with pytest.raises(RecordingError, match="there is a file where a folder is needed"):
            write(ledger, talk, saying("Hi.", directory=tmp_path / name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_error_that_says_what_to_do(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    output.parent.chmod(0o500)
    try:
        with pytest.raises(RecordingError, match="--output-dir"):
            say(ledger, talk, "Hi.")
    finally:
        output.parent.chmod(0o700)


@pytest.fixture
def small_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_changes_nothing_and_leaves_nothing(
    ledger: Ledger, tmp_path: Path, talk: Recording, output: Path
) -> None:
    write(ledger, talk, saying("Hi."))
    long = saying("word " * 150_000, formats=("txt", "tsv", "json"))
    long = replace(long, model="m" * 300_000)
    with pytest.raises(Hindered, match=r"talk\.json cannot be written: File too large"):
        write(ledger, talk, long)
    assert output.read_text() == "Hi.\n"
    assert not output.with_suffix(".tsv").exists()
    assert leftovers(tmp_path) == []
    assert write(ledger, talk, saying("Hello.")).untouched == ()


def test_a_recording_whose_name_another_run_took_gets_another(
    ledger: Ledger, talk: Recording
) -> None:
    wav = recording(Path(talk.path).with_suffix(".wav"))

    async def work(database: Database) -> list[tuple[Location, ...]]:
        content = saying("Hi.")
        writing = []
        for item in (talk, wav):
            writer = OutputWriter(OutputRegistry(SqlOutputStore(database)))
            await writer.plan([item], content.options)
            writing.append(writer.write(content, item.path))
        return [written.paths for written in await asyncio.gather(*writing)]

    first, second = with_ledger(ledger, work)
    assert not set(first) & set(second)
    assert {first[0].name, second[0].name} in (
        {"talk.txt", "talk.wav.txt"},
        {"talk.txt", "talk.mp3.txt"},
    )


class InterruptedStore(SqlOutputStore):
    """Another run writes once, after this one has read what is known of the outputs."""

    def __init__(self, database: Database, other_run: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database)
        self._other_run = [other_run]

    async def digests(self, paths: Sequence[bytes]) -> list[OutputDigests]:
        known = await super().digests(paths)
        while self._other_run:
            await self._other_run.pop()()
        return known


class InterruptedClaim(InterruptedStore):
    """Another run writes once, after this one has examined the files."""

    async def digests(self, paths: Sequence[bytes]) -> list[OutputDigests]:
        return await SqlOutputStore.digests(self, paths)

    async def claim(self, *args: Any, **options: Any) -> tuple[OutputDigests, ...]:
        claimed = await super().claim(*args, **options)
        while self._other_run:
            await self._other_run.pop()()
        return claimed


@pytest.mark.parametrize("interrupted", [InterruptedStore, InterruptedClaim])
@pytest.mark.parametrize("before", [None, "Before."])
def test_what_another_run_of_the_same_job_has_just_written_is_no_edit(
    ledger: Ledger,
    talk: Recording,
    output: Path,
    interrupted: type[InterruptedStore],
    before: str | None,
) -> None:
    if before:
        say(ledger, talk, before)

    async def run(text: str, store: SqlOutputStore) -> Written:
        writer = OutputWriter(OutputRegistry(store))
        await writer.plan([talk], OutputOptions())
        return await writer.write(saying(text), talk.path)

    async def work(database: Database) -> Written:
        return await run(
            "Late.", interrupted(database, lambda: run("Early.", SqlOutputStore(database)))
        )

    assert with_ledger(ledger, work) == Written((output, output.with_suffix(".json")))
    assert output.read_text() == "Late.\n"
    assert recorded(ledger)["talk.txt"].split()[-1] == digest(output)
    output.write_text("mine")
    assert say(ledger, talk, "Later.").untouched == (output,)


def test_what_another_run_writes_with_the_same_bytes_is_no_edit(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    """Its digest was known before, as it says first what it is going to write."""

    async def run(store: SqlOutputStore) -> Written:
        writer = OutputWriter(OutputRegistry(store))
        await writer.plan([talk], OutputOptions())
        return await writer.write(saying("Hi."), talk.path)

    async def work(database: Database) -> Written:
        await run(SqlOutputStore(database))
        await asyncio.to_thread(output.unlink)
        return await run(InterruptedClaim(database, lambda: run(SqlOutputStore(database))))

    assert with_ledger(ledger, work) == Written((output, output.with_suffix(".json")))


def test_many_recordings_are_written_at_once(
    ledger: Ledger, tmp_path: Path, talk: Recording
) -> None:
    items = [recording(Path(talk.root) / f"talk.{number}") for number in range(40)]

    async def work(database: Database) -> None:
        registry = OutputRegistry(SqlOutputStore(database))
        writer = OutputWriter(registry)
        await writer.plan(items, OutputOptions())
        plans = await registry.plan(items, OutputOptions())
        await asyncio.gather(*(writer.write(saying(item.path.name), item.path) for item in items))
        for item, plan in plans.items():
            path = plan.paths["txt"]
            assert isinstance(path, Path)
            assert path.read_text() == f"{item.name}\n"

    with_ledger(ledger, work)
    assert leftovers(tmp_path) == []


KILLED = """
import asyncio, os, signal, sys, time
from pathlib import Path
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.outputs import atomic_files
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter
from tests.outputs.examples import Recording, saying
from tests.queue.harness import Ledger

def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

async def main(ledger: str, path: Path, moment: str) -> None:
    registry = OutputRegistry(SqlOutputStore(Ledger.named(ledger).open(time.time)))
    content = saying("Second.", formats=("txt",))
    writer = OutputWriter(registry)
    await writer.plan([Recording(path, path.parent)], content.options)
    if moment == "before":
        os.fsync = die
    else:
        registry.record = die
    await writer.write(content, path)

asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
"""


def killed_while_writing(ledger: Ledger, talk: Recording, moment: str) -> None:
    command = [sys.executable, "-c", KILLED, str(ledger), str(talk.path), moment]
    paths = os.pathsep.join(filter(None, ["src", ".", *sys.path]))
    root = Path(__file__).parents[2]
    died = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert died.returncode == -9


@pytest.mark.parametrize(
    ("moment", "first"),
    [
        ("before", None),
        ("after", "First."),
        pytest.param("before", "First.", marks=pytest.mark.slow),
        pytest.param("after", None, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_leaves_nothing_that_the_next_takes_for_an_edit(
    ledger: Ledger, tmp_path: Path, talk: Recording, output: Path, moment: str, first: str | None
) -> None:
    if first:
        say(ledger, talk, first)
    killed_while_writing(ledger, talk, moment)
    assert len(leftovers(tmp_path)) == (moment == "before")
    expected = "Second.\n" if moment == "after" else f"{first}\n"
    assert not output.exists() if expected == "None\n" else output.read_text() == expected
    assert say(ledger, talk, "Third.") == Written((output,))
    assert output.read_text() == "Third.\n"
    assert recorded(ledger) == {"talk.txt": digest(output)}
    assert leftovers(tmp_path) == []


def test_a_user_edit_between_two_killed_runs_is_still_kept(
    ledger: Ledger, talk: Recording, output: Path
) -> None:
    say(ledger, talk, "First.")
    killed_while_writing(ledger, talk, "after")
    output.write_text("Mine.\n")
    assert say(ledger, talk, "Third.").untouched == (output,)
