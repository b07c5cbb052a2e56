"""Documents and recordings that the tests of this room share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from sttbatch.core.locations import Location
from sttbatch.core.models import Gap, Segment, Transcript, Word
from sttbatch.core.options import OutputOptions
from sttbatch.database.database import Database
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.output_names import OutputPlan, Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter, Written
from tests.queue.harness import Ledger

T = TypeVar("T")

HELLO = (
    Segment("Hello, world.", 0.0, 1.5, (Word("Hello", 0.0, 0.5), Word("world", 0.7, 1.4))),
    Segment("It is late.", 2.0, 3.0),
)


def document(
    segments: Sequence[Segment] = HELLO, gaps: Sequence[Gap] = (), **options: Any
) -> Document:
    ends = [segment.end_s for segment in segments] + [gap.end_s for gap in gaps]
    transcript = Transcript(max(ends, default=0.0), "en", tuple(segments), (), tuple(gaps))
    return Document(
        "talk.mp3", "ab" * 32, "whisper", "cloudru", transcript, OutputOptions(**options)
    )


def text(name: str, made: Document) -> str:
    """An output of a document as text."""
    return b"".join(FORMATS[name](made)).decode()


def saying(text: str, **options: Any) -> Document:
    return document([Segment(text, 0.0, 2.0)], **options)


def recording(path: Path, root: Path | None = None) -> Recording:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sound")
    return Recording(path, root or path.parent)


def with_ledger(ledger: Ledger, work: Callable[[Database], Awaitable[T]]) -> T:
    """What one run does with the ledger."""

    async def run() -> T:
        with contextlib.closing(ledger.open(time.time)) as database:
            return await work(database)

    return asyncio.run(run())


def planned(
    ledger: Ledger, recordings: Sequence[Recording], **options: Any
) -> dict[Location, OutputPlan]:
    return with_ledger(
        ledger,
        lambda database: OutputRegistry(SqlOutputStore(database)).plan(
            recordings, OutputOptions(**options)
        ),
    )


def names(
    ledger: Ledger,
    recordings: Sequence[Recording],
    *,
    write: bool = False,
    host: str = "",
    **options: Any,
) -> list[str]:
    """What each recording's first output is called on `host`; `write`: and write them all."""

    async def work(database: Database) -> list[str]:
        registry = OutputRegistry(SqlOutputStore(database, host))
        writer = OutputWriter(registry)
        plans = await registry.plan(recordings, OutputOptions(**options))
        await writer.plan(recordings, OutputOptions(**options))
        for item in recordings if write else ():
            content = replace(saying(str(item.path), **options), source=str(item.path))
            formats = content.options.formats
            contents = {name: FORMATS[name.rpartition(".")[2]](content) for name in formats}
            await writer.write_contents(item.path, content.options, partial(dict, contents))
        return [next(iter(plans[item.path].paths.values())).name for item in recordings]

    return with_ledger(ledger, work)


def write(ledger: Ledger, item: Recording, content: Document) -> Written:
    """One run over one recording."""

    async def work(database: Database) -> Written:
        writer = OutputWriter(OutputRegistry(SqlOutputStore(database)))
        await writer.plan([item], content.options)
        return await writer.write(content, item.path)

    return with_ledger(ledger, work)


def recorded(ledger: Ledger) -> dict[str, str]:
    """By name, the digests of the `outputs` table."""
    rows = with_ledger(ledger, lambda database: database.rows("SELECT path, sha256 FROM outputs"))
    return {Path(path.decode()).name: digests for path, digests in rows}
