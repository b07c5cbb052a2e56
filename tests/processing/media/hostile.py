"""Damaged recordings through the media workers and through the command line, watched.

`python -m tests.processing.media.hostile SECONDS` (make fuzz) goes on with new ones for so long,
and feeds the answer parser with damaged answers as well.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from sttbatch.core.errors import MediaError, MediaWorkerDied
from sttbatch.core.models import UploadCodec
from sttbatch.external.cloudru.response_parsing import UnreadableResponse, parse_transcription
from sttbatch.processing.media.media_messages import Source, SplitPlan
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.media.upload_format import upload_codec_for
from tests.shell import Shell

from .mutations import MUTATIONS, mutated

MEMORY_LIMIT_BYTES = 500_000_000
HUNG_S = 60.0
"""Wall seconds, on a machine that may be busy; CPU time has a limit of its own in each worker."""

_MIB = 1 << 20
_DONE = re.compile(r": (transcribed|from cache), [\d:]+$")
_REASON = re.compile(r": failed: .*\S")


async def read_through(folder: Path, recordings: Iterable[bytes]) -> list[str]:
    """Probe and cut each in one worker; what came of it. A worker that dies is a failure."""
    came: list[str] = []
    path = folder / "recording"
    async with MediaWorkers(folder, 1) as workers:
        for data in recordings:
            path.write_bytes(data)
            try:
                async with asyncio.timeout(HUNG_S):
                    came.append(await _read(workers, path, len(data)))
            except MediaWorkerDied:
                raise
            except MediaError as error:
                came.append(str(error))
    assert all(each.strip() and "Traceback" not in each for each in came)
    return came


async def _read(workers: MediaWorkers, path: Path, size: int) -> str:
    file = await workers.probe(path)
    codec = upload_codec_for(file, UploadCodec.AUTO)
    plan = SplitPlan(30.0, 24 * _MIB, codec, file.duration_s)
    count = 0
    async with workers.split(Source(size, path=bytes(path)), plan) as cutting:
        while (chunk := await cutting.next()) is not None:
            assert chunk.upload.size_bytes <= plan.max_bytes
            chunk.upload.discard()
            count += 1
    return f"{count} chunks"


def transcribe_mutations(shell: Shell, folder: Path, numbers: Iterable[int]) -> int:
    """Take mutations through one run of the command line; how many of them failed.

    Every recording is finished or fails with a reason, there is no traceback, and all processes
    together stay below `MEMORY_LIMIT_BYTES`.
    """
    folder.mkdir()
    names = []
    for number in numbers:
        name, data = mutated(number)
        (folder / name).write_bytes(data)
        names.append(name)
    with (folder.parent / "out").open("wb") as out, (folder.parent / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "sttbatch", "transcribe", str(folder), "-j", "4"],
            env=shell.environment, cwd=shell.home, stdout=out, stderr=err,
        )  # fmt: skip
        peak = _peak_bytes(psutil.Process(process.pid))
    messages = (folder.parent / "err").read_text("utf-8")
    assert process.wait() in {0, 1}, messages
    assert "Traceback" not in messages
    assert peak < MEMORY_LIMIT_BYTES
    failed = 0
    for name in names:
        lines = [line for line in messages.splitlines() if f"/{name}: " in line]
        done = [line for line in lines if _DONE.search(line)]
        named = [line for line in lines if _REASON.search(line)]
        assert done or named, (name, messages[-2000:])
        assert not any("crashed" in line or "CPU time" in line for line in named), named
        failed += bool(named)
    return failed


def _peak_bytes(parent: psutil.Process) -> int:
    """The most that the process and its children held at a time, looked at until it ends."""
    peak = 0
    while True:
        held = 0
        for process in (parent, *_children(parent)):
            try:
                held += process.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, held)
        try:
            parent.wait(timeout=0.1)
        except psutil.TimeoutExpired:
            continue
        return peak


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return parent.children(recursive=True)
    except psutil.Error:
        return []


_ANSWER = json.dumps(
    {
        "text": "It rains.", "language": "en", "duration": "8.5",
        "segments": [{"id": 0, "start": 0.0, "end": 2.5, "text": "It rains.", "tokens": [1, 2]}],
        "words": [{"word": "It", "start": 0.0, "end": 0.5}, {"word": "rains", "start": 0.5}],
    }
).encode()  # fmt: skip


def damaged_answer(number: int) -> None:
    """Have the parser read an answer with something wrong in it."""
    chance = random.Random(number)
    data = bytearray(_ANSWER)
    for _ in range(chance.randint(1, 6)):
        MUTATIONS[chance.choice(("flip", "cut", "drop", "repeat", "number"))](chance, data)
    try:
        heard = parse_transcription(bytes(data), 8.5, chance.choice(("", "text/plain")))
    except UnreadableResponse:
        return
    for segment in heard.segments:
        assert 0 <= segment.start_s <= segment.end_s <= 8.5
    heard.text.encode()


async def fuzz(seconds: float) -> int:
    """New mutations until the time is over; how many. An error names the numbers to look at."""
    number = first = random.randrange(1 << 30)
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            try:
                await read_through(
                    Path(folder), [mutated(n)[1] for n in range(number, number + 20)]
                )
                for each in range(number * 100, number * 100 + 2000):
                    damaged_answer(each)
            except Exception:
                print(f"among mutations {number} to {number + 19}")
                raise
            number += 20
    return number - first


if __name__ == "__main__":
    print(f"{asyncio.run(fuzz(float(sys.argv[1])))} mutations, none did harm")
