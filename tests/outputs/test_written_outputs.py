"""Whether outputs stand as they were left, told from their files' states."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.options import OutputOptions
from sttbatch.database.database import Database, expand
from sttbatch.database.outputs import STATES, SqlOutputStore
from sttbatch.outputs.made_from import made_from
from sttbatch.outputs.output_names import OutputLocation, OutputPlan, Recording
from sttbatch.outputs.output_registry import IntactOutputs, Origin, OutputRegistry
from tests.database.backends import Backend

OPTIONS = OutputOptions(formats=("txt", "json"))
ORIGIN = made_from("transcript:1", "talk.mp3", OPTIONS)


@pytest.fixture
def database(backend: Backend, tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(backend.open_ledger(tmp_path, time.time)) as opened:
        yield opened


@pytest.fixture
def plan(tmp_path: Path, database: Database) -> OutputPlan:
    """talk.mp3 with its outputs, written and recorded."""
    talk = tmp_path / "talks" / "talk.mp3"
    talk.parent.mkdir()
    talk.touch()

    async def write() -> OutputPlan:
        registry = OutputRegistry(SqlOutputStore(database))
        plans = await registry.plan([Recording(talk, talk.parent)], OPTIONS)
        found = plans[talk]
        for path in found.paths.values():
            assert isinstance(path, Path)
            path.write_text("words")
        await registry.intend(found, dict.fromkeys(found.paths, "digest"))
        digests = dict.fromkeys(found.paths, "digest")
        await registry.record(found, digests, Origin(ORIGIN, 12.5))
        return found

    return asyncio.run(write())


def standing(
    database: Database, plan: OutputPlan, origin: str, *formats: str
) -> IntactOutputs | None:
    folder = plan.stem.rpartition(b"/")[0] + b"/"
    wanted = OutputLocation(plan.source, folder, ""), origin
    found = asyncio.run(OutputRegistry(SqlOutputStore(database)).intact([wanted], formats))
    return found.get(plan.source)


def test_what_was_left_stands(database: Database, plan: OutputPlan) -> None:
    assert standing(database, plan, ORIGIN, "txt", "json") == IntactOutputs(
        ("talk.txt", "talk.json"), 12.5
    )


def test_another_format_or_origin_does_not(database: Database, plan: OutputPlan) -> None:
    assert standing(database, plan, ORIGIN, "txt", "srt") is None
    assert standing(database, plan, made_from("other", "talk.mp3", OPTIONS), "txt") is None
    timed = replace(OPTIONS, timestamps=True)
    assert standing(database, plan, made_from("transcript:1", "talk.mp3", timed), "txt") is None


def test_another_folder_does_not(database: Database, plan: OutputPlan) -> None:
    wanted = OutputLocation(plan.source, b"/elsewhere/", ""), ORIGIN
    assert asyncio.run(OutputRegistry(SqlOutputStore(database)).intact([wanted], ("txt",))) == {}


@pytest.mark.parametrize("change", ["edit", "remove", "touch"])
def test_a_changed_file_does_not(database: Database, plan: OutputPlan, change: str) -> None:
    path = Path(plan.paths["txt"])
    if change == "edit":
        path.write_text("more words")
    elif change == "remove":
        path.unlink()
    else:
        os.utime(path, ns=(1, 1))
    assert standing(database, plan, ORIGIN, "txt", "json") is None


def test_the_query_uses_an_index(backend: Backend, database: Database) -> None:
    scans = asyncio.run(backend.scans(database, expand(STATES, 2), (b"1", b"2")))
    assert [(each.index, each.is_whole) for each in scans] == [("outputs_source", False)]
