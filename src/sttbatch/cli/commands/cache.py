"""sttbatch cache: stats, invalidate, warm, verify."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sttbatch.core.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from sttbatch.caching.cache_invalidator import CacheInvalidator, Invalidated
    from sttbatch.caching.cache_stats import CacheStats
    from sttbatch.caching.cache_verifier import Verification
    from sttbatch.caching.cache_warmer import Warmed
    from sttbatch.caching.fingerprints import Fingerprinter
    from sttbatch.composition.caches import Caches
    from sttbatch.composition.settings import Settings
    from sttbatch.core.ports import FileIndex

    _Removal = Callable[[CacheInvalidator], Awaitable[Invalidated]]

MOST_USED = 1000
"""How many entries `warm` loads when it is given no path."""

_T = TypeVar("_T")

app = typer.Typer(help="Results that are kept: how many, how sound.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def stats(as_json: Json = False) -> None:
    """Show how much each level holds, how old it is, and what is read most."""
    import asyncio

    from sttbatch.cli.console.cache_rendering import stats_json, stats_lines

    _print(asyncio.run(_stats()), stats_json if as_json else stats_lines)


@app.command()
def invalidate(
    key: Annotated[str | None, typer.Argument(help="One entry.", show_default=False)] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="P", help="Keys that match, such as 'transcript:*'.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="F", help="Every trace of a recording, gone or not.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="M", help="All that it answered.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="What is too old to be used.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove results, which are then asked and paid for anew when they are needed."""
    from sttbatch.cli.console.cache_rendering import invalidated_lines

    choices: list[_Removal] = []
    if key is not None:
        choices.append(lambda each: each.key(key))
    if pattern is not None:
        choices.append(lambda each: each.pattern(pattern))
    if file is not None:
        choices.append(lambda each: each.file(file))
    if model is not None:
        choices.append(lambda each: each.model(model))
    if expired:
        choices.append(lambda each: each.expired())
    if everything:
        choices.append(lambda each: each.all())
    if len(choices) != 1:
        raise UsageError("name one of KEY, --pattern, --file, --model, --expired and --all")
    if everything and not yes and sys.stdin.isatty():
        typer.confirm("Remove every result, paid for as it is?", abort=True, err=True)
    import asyncio

    _print(asyncio.run(_invalidate(choices[0])), invalidated_lines)


@app.command()
def warm(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...", help="Recordings, folders. Default: what is read most."
        ),
    ] = None,
) -> None:
    """Load results into the L2 cache before they are needed."""
    import asyncio

    from sttbatch.cli.console.cache_rendering import warmed_lines

    _print(asyncio.run(_warm(paths or [])), warmed_lines)


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Remove what is damaged.")] = False,
    as_json: Json = False,
) -> None:
    """Hash every stored value again; exit 1 when one is damaged."""
    import asyncio

    from sttbatch.cli.console.cache_rendering import verification_json, verification_lines

    found = asyncio.run(_verify(repair=repair))
    _print(found, verification_json if as_json else verification_lines)
    raise typer.Exit(0 if found.is_sound else 1)


@dataclass(frozen=True, slots=True)
class _Stores:
    settings: Settings
    caches: Caches
    files: FileIndex
    fingerprinter: Fingerprinter


@contextlib.asynccontextmanager
async def _opened() -> AsyncIterator[_Stores]:
    from sttbatch.caching.fingerprints import Fingerprinter
    from sttbatch.composition.caches import open_caches
    from sttbatch.composition.paths import data_folder
    from sttbatch.composition.settings import load_settings
    from sttbatch.database.files import SqlFileIndex
    from sttbatch.database.opening import open_ledger

    settings = load_settings().settings
    with contextlib.closing(open_ledger(data_folder(settings))) as database:
        async with open_caches(settings, database, _warn) as caches:
            files = SqlFileIndex(database)
            yield _Stores(settings, caches, files, Fingerprinter(files))


async def _stats() -> CacheStats:
    from sttbatch.caching.cache_stats import cache_stats
    from sttbatch.composition.caches import cache_folder

    async with _opened() as stores:
        caches = stores.caches
        return await cache_stats(caches.levels.levels, caches.ledger, cache_folder(stores.settings))


async def _invalidate(removal: _Removal) -> Invalidated:
    from sttbatch.caching.cache_invalidator import CacheInvalidator

    async with _opened() as stores:
        caches = stores.caches
        # Answers kept aside on a full disk are results too; what is forgotten must not come back.
        await _recover(stores)
        return await removal(CacheInvalidator(caches.levels, stores.files, stores.fingerprinter))


async def _recover(stores: _Stores) -> None:
    from sttbatch.caching.response_spool import ResponseSpool
    from sttbatch.caching.result_cache import ResultCache
    from sttbatch.composition.effective_options import run_config_of
    from sttbatch.composition.paths import ANSWERS, data_folder

    request = run_config_of(stores.settings).request
    spool = ResponseSpool(data_folder(stores.settings) / ANSWERS, lanes=0)
    await ResultCache(stores.caches.levels, stores.caches.ledger, request, 0.0, spool).recover()


async def _warm(paths: list[str]) -> Warmed:
    from sttbatch.caching.cache_warmer import CacheWarmer
    from sttbatch.core.options import MIB

    async with _opened() as stores:
        warmer = CacheWarmer(stores.caches.levels, int(stores.settings.l2_max_mb * MIB))
        if not paths:
            return await warmer.most_used(MOST_USED)
        return await warmer.recordings(await _contents(paths, stores.fingerprinter))


async def _verify(*, repair: bool) -> Verification:
    from sttbatch.caching.cache_stats import record_verification
    from sttbatch.caching.cache_verifier import CacheVerifier
    from sttbatch.composition.caches import cache_folder

    async with _opened() as stores:
        verifier = CacheVerifier((stores.caches.disk, stores.caches.ledger))
        verification = await verifier.verify(repair=repair)
        damaged = 0 if verification.repaired else len(verification.damaged)
        record_verification(cache_folder(stores.settings), damaged)
        return verification


async def _contents(arguments: list[str], fingerprinter: Fingerprinter) -> list[str]:
    """The recordings below what was named; what cannot be read has nothing stored."""
    from sttbatch.processing.discovery import discover, expand

    try:
        found = discover(list(expand(arguments)))
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: no such file or folder") from error
    contents = []
    await fingerprinter.load([each.path.absolute() for each in found.candidates])
    for each in found.candidates:
        path = each.path.absolute()
        with contextlib.suppress(RecordingError):
            # A large file that is no recording is not worth hashing.
            if each.expected or await fingerprinter.remembered(path) is not None:
                contents.append((await fingerprinter.fingerprint(path)).sha256)
    return contents


def _print(found: _T, rendered: Callable[[_T], list[str]]) -> None:
    from sttbatch.cli.console.rendering import Out

    out = Out()
    for line in rendered(found):
        out.line(line)


def _warn(message: str) -> None:
    from sttbatch.cli.console.rendering import printable

    typer.echo(f"sttbatch: {printable(message)}", err=True)
