"""sttbatch cache: stats, invalidate, warm, verify."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted, local_time, printable, size_text
from sttbatch.cli.options import AsJson, option
from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.core.locations import location

if TYPE_CHECKING:
    from sttbatch.caching.cache_invalidator import Invalidated
    from sttbatch.caching.cache_stats import CacheStats
    from sttbatch.caching.cache_verifier import Verification
    from sttbatch.composition.settings import Settings
    from sttbatch.composition.stores import Caches, LedgerStores
    from sttbatch.core.cache_entries import LevelUsage

MOST_USED = 1000
"""The number of entries that `warm` loads without paths."""

_T = TypeVar("_T")

app = typer.Typer(help="Inspect, verify and clean the cache of results.", no_args_is_help=True)


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Show the size and age of each level, and the most read entries."""
    from sttbatch.caching.cache_stats import cache_stats
    from sttbatch.composition.stores import cache_folder

    async def read(stores: LedgerStores, caches: Caches) -> list[str]:
        folder = cache_folder(stores.settings)
        figures = await cache_stats(caches.levels.levels, caches.ledger, folder)
        return _stats_json(figures) if as_json else _stats_lines(figures, caches.l2.remedy)

    print_lines(_with_caches(read))


# fmt: off
@app.command()
def invalidate(
    key: Annotated[str | None, typer.Argument(help="The key of one entry.")] = None,
    pattern: Annotated[str | None, option(
        "Entries whose keys match, such as 'transcript:*'.", metavar="PATTERN")] = None,
    file: Annotated[str | None, option(
        "Everything stored about a recording, even if the file is gone.", metavar="FILE")] = None,
    model: Annotated[str | None, option("All results of a model.", metavar="NAME")] = None,
    expired: Annotated[bool, option("Results older than cache_max_age.", "--expired")] = False,
    everything: Annotated[bool, option("All results.", "--all")] = False,
    yes: Annotated[bool, option("Do not ask for confirmation.", "--yes")] = False,
) -> None:
    # fmt: on
    """Remove results; they are requested and paid for again when they are needed."""
    from sttbatch.caching.cache_invalidator import CacheInvalidator
    from sttbatch.caching.fingerprints import Fingerprinter
    from sttbatch.caching.response_spool import ResponseSpool
    from sttbatch.composition.searching import forget_removed
    from sttbatch.composition.stores import ANSWERS, data_folder

    place = location(file) if file is not None else None
    given = {"key": key, "pattern": pattern, "file": place, "model": model}
    removals = [methodcaller(name, value) for name, value in given.items() if value is not None]
    removals += [methodcaller("expired")] * expired + [methodcaller("all")] * everything
    if len(removals) != 1:
        raise UsageError("give one of KEY, --pattern, --file, --model, --expired and --all")
    if everything and not yes and sys.stdin.isatty():
        typer.confirm("Remove every result, although it was paid for?", abort=True, err=True)

    async def remove(stores: LedgerStores, caches: Caches) -> list[str]:
        # Spooled answers would be stored again later.
        spool = ResponseSpool(data_folder(stores.settings) / ANSWERS, lanes=0)
        await spool.recover_into(stores.bookings)
        invalidator = CacheInvalidator(caches.levels, stores.files, Fingerprinter(stores.files))
        removed = await cast("Awaitable[Invalidated]", removals[0](invalidator))
        await forget_removed(stores)
        return [*_invalidated_lines(removed), *_out_of_reach(stores.settings)]

    print_lines(_with_caches(remove))


@app.command()
def warm(
    paths: Annotated[list[str] | None, typer.Argument(
        metavar="PATH...",
        help="Recordings, folders or s3://bucket/prefix. \\[default: the most read entries]")
    ] = None,
) -> None:  # fmt: skip
    """Load results into the L2 cache in advance."""
    from sttbatch.core.options import MIB

    async def load(stores: LedgerStores, caches: Caches) -> tuple[int, int]:
        levels, limit_bytes = caches.levels, stores.settings.l2_max_mb * MIB
        if paths:
            contents = await _contents(paths, stores)
            return await levels.warm(await levels.authority.keys_of(contents), limit_bytes)
        most_used = await levels.authority.most_used(MOST_USED)
        return await levels.warm([key for key, _ in most_used], limit_bytes)

    count, size_bytes = _with_caches(load)
    print_lines([f"{count} {'entry' if count == 1 else 'entries'} loaded, {size_text(size_bytes)}"])


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Remove damaged entries.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every stored value against its hash; exit 1 if one is damaged."""
    from sttbatch.caching.cache_stats import record_verification
    from sttbatch.caching.cache_verifier import verified
    from sttbatch.composition.stores import cache_folder

    async def check(stores: LedgerStores, caches: Caches) -> Verification:
        verification = await verified((caches.l2, caches.ledger), repair=repair)
        damaged = 0 if verification.repaired else len(verification.damaged)
        record_verification(cache_folder(stores.settings), damaged)
        return verification

    result = _with_caches(check)
    print_lines(_verification_json(result) if as_json else _verification_lines(result))
    raise typer.Exit(0 if result.is_sound else 1)


def _with_caches(work: Callable[[LedgerStores, Caches], Awaitable[_T]]) -> _T:
    import asyncio

    from sttbatch.composition.settings import load_settings
    from sttbatch.composition.stores import open_caches, opened_stores

    settings = load_settings().settings

    async def run() -> _T:
        with opened_stores(settings) as stores:
            async with open_caches(settings, stores.database, _warn) as caches:
                return await work(stores, caches)

    return asyncio.run(run())


async def _contents(arguments: list[str], stores: LedgerStores) -> list[str]:
    """Content hashes of the recordings in `arguments`; unreadable files have no results.

    Objects are not fetched: one that never was, or has changed since, has no results.
    """
    from sttbatch.caching.fingerprints import Fingerprinter
    from sttbatch.composition.object_storage import objects_of
    from sttbatch.processing.discovery import discover, expand

    fingerprinter = Fingerprinter(stores.files)
    discovery = discover(expand(arguments), objects=objects_of(stores.settings))
    contents = []
    await fingerprinter.load([candidate.path.absolute() for candidate in discovery.candidates])
    for candidate in discovery.candidates:
        path = candidate.path.absolute()
        if not isinstance(path, Path):
            known = fingerprinter.unchanged(os.fsencode(path), candidate.status)
            contents += [known] if known is not None else []
            continue
        with contextlib.suppress(RecordingError):
            # Large files that are no recordings are not hashed.
            if candidate.expected or await fingerprinter.remembered(path) is not None:
                contents.append((await fingerprinter.fingerprint(path)).sha256)
    return contents


def _warn(message: str) -> None:
    typer.echo(f"sttbatch: {printable(message)}", err=True)


def _stats_lines(stats: CacheStats, remedy: str) -> list[str]:
    """The levels as a table, the most read entries, and the last verification.

    `remedy` is what to do if a level cannot be read.
    """
    lines = [f"{'level':<7}{'entries':>9}{'size':>12}{'on disk':>12}  {'oldest':<18}newest"]
    for name, usage in stats.levels.items():
        lines.append(_usage_line(name, usage, remedy))
    if stats.most_used:
        lines.append("most read:")
        lines += [f"{reads:>9}  {key}" for key, reads in stats.most_used]
    if stats.verified is None:
        lines.append("never verified; run `sttbatch cache verify`")
    else:
        lines.append(f"damaged: {stats.verified.damaged}, verified {local_time(stats.verified.at)}")
    return lines


def _stats_json(stats: CacheStats) -> list[str]:
    levels = {
        name: None
        if usage is None
        else {
            "entries": usage.entries,
            "bytes": usage.size_bytes,
            "disk_bytes": usage.disk_bytes,
            "oldest_at": usage.oldest_at,
            "newest_at": usage.newest_at,
        }
        for name, usage in stats.levels.items()
    }
    verified = stats.verified
    facts = {
        "levels": levels,
        "most_used": [{"key": key, "reads": reads} for key, reads in stats.most_used],
        "damaged": verified.damaged if verified else None,
        "verified_at": verified.at if verified else None,
    }
    return [json.dumps(facts)]


def _invalidated_lines(removed: Invalidated) -> list[str]:
    entries = ", ".join(f"{name} {count}" for name, count in sorted(removed.entries.items()))
    lines = [f"removed: {entries}"]
    if removed.rows:
        rows = ", ".join(f"{table} {count}" for table, count in removed.rows.items() if count)
        lines.append(f"forgotten: {rows}" if rows else "no other records")
    if removed.running_jobs:
        users = f"{counted(removed.running_jobs, 'running job')} use"
        users += "s" * (removed.running_jobs == 1)
        lines.append(f"{users} it, so results may be stored again")
    return lines


def _out_of_reach(settings: Settings) -> list[str]:
    places = []
    if settings.redis_url is not None:
        places += ["L2 caches in folders (which may be deleted)", "Redis's files and its backups"]
    elif settings.database_url is not None:
        places.append("the L2 caches of other machines (run it on them too)")
    if settings.database_url is not None:
        places.append("PostgreSQL's log and its backups")
    return [f"not reached: {', '.join(places)}"] if places else []


def _verification_lines(verification: Verification) -> list[str]:
    lines = [f"damaged: {entry.key} in {entry.level}" for entry in verification.damaged]
    for level, problems in verification.problems.items():
        lines += [f"damaged: the file of {level}: {problem}" for problem in problems]
    lines += [f"not checked: {level}, {why}" for level, why in verification.unreachable.items()]
    checked = ", ".join(f"{name} {count}" for name, count in verification.checked.items())
    if verification.is_sound:
        return [f"sound: {checked} values checked"]
    if not verification.has_damage:
        return [*lines, f"{checked} values checked, none damaged"]
    end = "removed" if verification.repaired else "`sttbatch cache verify --repair` removes them"
    return [*lines, f"{checked} values checked, {len(verification.damaged)} damaged; {end}"]


def _verification_json(verification: Verification) -> list[str]:
    facts = {
        "checked": verification.checked,
        "damaged": [{"key": entry.key, "level": entry.level} for entry in verification.damaged],
        "problems": verification.problems
        | {level: (why,) for level, why in verification.unreachable.items()},
        "repaired": verification.repaired,
    }
    return [json.dumps(facts)]


def _usage_line(name: str, usage: LevelUsage | None, remedy: str) -> str:
    if usage is None:
        return f"{name:<7}cannot be read; {remedy}"
    if name == "L1":
        return f"{name:<7}in the memory of each run"
    on_disk = "in Redis" if usage.disk_bytes is None else size_text(usage.disk_bytes)
    return (
        f"{name:<7}{usage.entries:>9}{size_text(usage.size_bytes):>12}{on_disk:>12}"
        f"  {local_time(usage.oldest_at):<18}{local_time(usage.newest_at)}"
    )
