"""sttbatch doctor: what stands between the user and a transcript, and what to do about it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.core.errors import SttbatchError

if TYPE_CHECKING:
    from sttbatch.cli.settings import Settings

MIN_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen and what to do."""

    name: str
    ok: bool
    text: str


def doctor(
    send: Annotated[
        bool, typer.Option("--send", help="Send one second of audio, which is paid for.")
    ] = False,
) -> None:
    """Check key, endpoint, HTTP/2, disk, database, codecs and the local engine."""
    from sttbatch.cli.rendering import printable
    from sttbatch.cli.settings import load_settings

    settings = load_settings().settings
    import asyncio

    findings = asyncio.run(_examine(settings, send=send))
    for finding in findings:
        mark = "ok  " if finding.ok else "FAIL"
        typer.echo(f"{mark}  {finding.name}: {printable(finding.text)}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


async def _examine(settings: Settings, *, send: bool) -> list[Finding]:
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("key", lambda: _key(settings)),
        ("endpoint", lambda: _endpoint(settings)),
        ("disk", lambda: _disk(settings)),
        ("database", lambda: _database(settings)),
        ("codecs", _codecs),
    ]
    if settings.engine == "local":
        checks = [*checks[2:], ("local engine", lambda: _local(settings))]
    elif send:
        checks.append(("a real request", lambda: _send(settings)))
    findings = []
    for name, check in checks:
        try:
            findings.append(Finding(name, ok=True, text=await check()))
        except SttbatchError as error:
            findings.append(Finding(name, ok=False, text=str(error)))
    return findings


async def _key(settings: Settings) -> str:
    from sttbatch.cli.key import load_key

    load_key(settings)
    return "present; whether it is accepted, only --send can tell"


async def _endpoint(settings: Settings) -> str:
    from sttbatch.external.reachability import reach

    return await reach(settings.base_url)


async def _disk(settings: Settings) -> str:
    from sttbatch.cli.state import data_folder
    from sttbatch.core.errors import StateError

    folder = data_folder(settings)
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise StateError(f"{folder} has {free >> 20} MiB free; make room, or set data_dir")
    return f"{folder}, {free >> 30} GiB free"


async def _database(settings: Settings) -> str:
    from sttbatch.cli.state import LEDGER, data_folder
    from sttbatch.core.errors import StateError
    from sttbatch.database.database import Database, journal_mode

    path = data_folder(settings) / LEDGER
    database = Database(path)
    try:
        found = await database.read(lambda db: db.execute("PRAGMA quick_check").fetchone()[0])
    finally:
        database.close()
    if found != "ok":
        raise StateError(f"{path} is damaged: {found}; restore it from a backup, or move it away")
    return f"sound, SQLite {sqlite3.sqlite_version}, journal {journal_mode()}"


async def _codecs() -> str:
    from sttbatch.processing.media_workers import codec_report

    return await codec_report()


async def _local(settings: Settings) -> str:
    from sttbatch.cli.choosing import LOCAL_MODEL
    from sttbatch.external.local_engine import LocalEngine

    engine = LocalEngine(settings.model or LOCAL_MODEL)
    try:
        await engine.load()
    finally:
        await engine.aclose()
    return f"{settings.model or LOCAL_MODEL} is there"


async def _send(settings: Settings) -> str:
    from sttbatch.cli.choosing import RunFlags, choices_of
    from sttbatch.cli.engines import engine_of
    from sttbatch.cli.key import load_key
    from sttbatch.cli.state import RATES, data_folder
    from sttbatch.external.reachability import one_second

    request = choices_of(settings, RunFlags()).request
    key = load_key(settings)
    rates = data_folder(settings) / RATES
    async with engine_of(settings, key, lambda _: None, request.model, rates) as engine:
        latency_s = await one_second(engine, request)
    return f"the key is accepted; one second of audio took {latency_s:.1f} s"
