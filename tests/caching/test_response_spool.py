"""Kept answers come back whole or not at all, from runs that are over alone."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.caching.response_spool import RESERVED_BYTES, ResponseSpool, SpooledResponse
from sttbatch.caching.result_cache import StoredChunk
from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.models import Transcription
from sttbatch.core.work import Granted
from tests.caching.harness import ITEM, SHA, Harness, harness, key, recorded
from tests.caching.harness import chunk as stored
from tests.database.backends import Backend

POST = APIRequest(1.5, 1, 200, 0.5, 1000, 12.5, paid=True, request_id="r")

Allocate = Callable[[int, int, int], None]


def kept(number: int = 1, value: bytes | None = b"{}") -> SpooledResponse:
    return SpooledResponse(key(number), value, POST, 0.5, SHA, "cloudru", "whisper", "1-ab")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "answers"


def end(spool: ResponseSpool) -> None:
    asyncio.run(spool.aclose())


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def abandoned(folder: Path) -> list[SpooledResponse]:
    return list(ResponseSpool(folder, 1).abandoned())


def test_reserved_private_and_gone_at_the_end(folder: Path) -> None:
    spool = ResponseSpool(folder, 3)
    assert not folder.exists(), "a run that sends nothing needs no room"
    spool.reserve()
    spool.reserve()
    assert len(files(folder)) == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in files(folder):
        status = path.stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_blocks * 512 >= RESERVED_BYTES
    end(spool)
    assert files(folder) == []


def test_kept_until_it_was_taken(folder: Path) -> None:
    spool = ResponseSpool(folder, 3)
    spool.reserve()
    answers = [kept(1), kept(2, None)]
    for each in answers:
        spool.write(each)
    assert abandoned(folder) == [], "a living run's are its own"
    assert len(files(folder)) == 3
    end(spool)
    assert len(files(folder)) == 2
    reading = ResponseSpool(folder, 1).abandoned()
    assert next(reading) in answers
    reading.close()
    assert len(files(folder)) == 2, "what was not stored stays"
    assert sorted(abandoned(folder), key=lambda each: each.key) == answers
    assert files(folder) == []


def test_no_more_than_was_reserved(folder: Path) -> None:
    spool = ResponseSpool(folder, 1)
    with pytest.raises(StateError, match="no disk space was reserved"):
        spool.write(kept())
    spool.reserve()
    with pytest.raises(StateError, match="are reserved"):
        spool.write(kept(1, os.urandom(RESERVED_BYTES)))
    large = kept(2, b"words and times " * RESERVED_BYTES)
    spool.write(large)
    with pytest.raises(StateError, match="no disk space was reserved"):
        spool.write(kept(3))
    assert files(folder)[0].stat().st_size == RESERVED_BYTES, "written in place"
    end(spool)
    assert abandoned(folder) == [large]


def test_room_that_answers_took_is_reserved_anew(folder: Path) -> None:
    spool = ResponseSpool(folder, 1)
    for number in range(3):
        spool.reserve()
        spool.write(kept(number))
    end(spool)
    assert sorted(each.key for each in abandoned(folder)) == [key(n) for n in range(3)]


@pytest.mark.parametrize("cut", [0, 10, 57, 58, 100, -1])
def test_a_torn_record_is_removed(folder: Path, cut: int) -> None:
    spool = ResponseSpool(folder, 1)
    spool.reserve()
    spool.write(kept())
    end(spool)
    path = files(folder)[0]
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[:cut] + bytes(RESERVED_BYTES - len(whole[:cut])))
    assert abandoned(folder) == []
    assert files(folder) == []


def test_any_flipped_bit_is_noticed(folder: Path) -> None:
    spool = ResponseSpool(folder, 1)
    spool.reserve()
    spool.write(kept())
    path = files(folder)[0]
    whole = path.read_bytes()
    end(spool)
    for at in range(len(whole.rstrip(b"\0"))):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert abandoned(folder) == []


def test_killed_in_the_middle_of_writing(folder: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from tests.caching.test_response_spool import kept
from sttbatch.caching.response_spool import ResponseSpool
spool = ResponseSpool(Path({str(folder)!r}), 3)
spool.reserve()
spool.write(kept(1))
write = os.pwrite
def torn(descriptor, data, at):
    write(descriptor, data[:len(data) // 2], at)
    os.kill(os.getpid(), signal.SIGKILL)
os.pwrite = torn
spool.write(kept(2))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(files(folder)) == 3
    assert abandoned(folder) == [kept(1)]
    assert files(folder) == []


def _raises(number: int) -> Allocate:
    def allocate(descriptor: int, offset: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    return allocate


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_zeros_where_nothing_can_be_preallocated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", _raises(number))
    spool = ResponseSpool(folder, 2)
    spool.reserve()
    assert all(path.stat().st_blocks * 512 >= RESERVED_BYTES for path in files(folder))
    end(spool)


def test_no_room_is_said_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _raises(errno.ENOSPC))
    spool = ResponseSpool(folder, 4)
    with pytest.raises(
        StateError, match=r"4 MiB of disk space .*: No space left on device; free some space"
    ):
        spool.reserve()
    assert files(folder) == []


def chunk(text: str) -> StoredChunk:
    return StoredChunk(Transcription(text, ()), "copy", "json")


async def posts(state: Harness) -> list[tuple[object, ...]]:
    return await state.database.read(
        lambda db: db.execute(
            "SELECT chunk_key, status, cost, maybe_paid FROM requests ORDER BY chunk_key"
        ).fetchall()
    )


def test_what_the_ledger_refuses_is_stored_by_the_next_run(
    backend: Backend, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        spool, granted = ResponseSpool(folder, 2), Granted(ITEM, 0, "")
        async with harness(tmp_path, backend=backend) as state:
            spool.reserve()

            async def store(number: int) -> None:
                record = recorded(key(number), POST, chunk(f"{number}"))
                with spool.spooling(record):
                    await state.work.store(granted, record)

            async def full(work: object) -> None:
                raise StateError("disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(state.database, "write", full)
                with pytest.raises(StateError, match="disk is full; the answer is kept in"):
                    await store(1)
                failed = recorded(key(2), replace(POST, status=500, paid=False))
                with (
                    pytest.raises(StateError, match="disk is full; the failed request is kept in"),
                    spool.spooling(failed),
                ):
                    await state.work.record(failed)
                with pytest.raises(StateError, match="the answer could not be kept: no disk space"):
                    await store(3)
            await spool.aclose()
        copies = {path: path.read_bytes() for path in files(folder)}
        for _ in range(2):
            # The second time as if we had been killed before the files were removed.
            for path, data in copies.items():
                path.write_bytes(data)
            async with harness(tmp_path, backend=backend) as state:
                await ResponseSpool(folder, 2).recover_into(state.work)
                assert await stored(state, key(1)) == chunk("1")
                assert await posts(state) == [(key(1), 200, 0.125, 0), (key(2), 500, 0.0, 0)]
            assert files(folder) == []

    asyncio.run(story())


def test_a_newer_answer_is_not_replaced(backend: Backend, tmp_path: Path, folder: Path) -> None:
    async def story() -> None:
        spool = ResponseSpool(folder, 1)
        spool.reserve()
        spool.write(kept(1, b"older"))
        await spool.aclose()
        async with harness(tmp_path, backend=backend) as state:
            await state.store(recorded(key(1), replace(POST, at=2.5), chunk("newer")))
            await spool.recover_into(state.work)
            assert await stored(state, key(1)) == chunk("newer")
            assert len(await posts(state)) == 2, "both were paid"

    asyncio.run(story())
