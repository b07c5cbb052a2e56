"""Output of `sttbatch cache`, as lines and as JSON."""

from __future__ import annotations

import json

from sttbatch.caching.cache_invalidator import Invalidated
from sttbatch.caching.cache_stats import CacheStats
from sttbatch.caching.cache_verifier import Verification
from sttbatch.cli.console.text import counted, local_time
from sttbatch.core.cache_entries import LevelUsage

_KIB = 1024


def stats_lines(stats: CacheStats) -> list[str]:
    """The levels as a table, the most read entries, and the last verification."""
    lines = [f"{'level':<7}{'entries':>9}{'size':>12}{'on disk':>12}  {'oldest':<18}newest"]
    for name, usage in stats.levels.items():
        lines.append(_usage_line(name, usage))
    if stats.most_used:
        lines.append("most read:")
        lines += [f"{reads:>9}  {key}" for key, reads in stats.most_used]
    if stats.verified is None:
        lines.append("never verified; run `sttbatch cache verify`")
    else:
        lines.append(f"damaged: {stats.verified.damaged}, verified {local_time(stats.verified.at)}")
    return lines


def stats_json(stats: CacheStats) -> list[str]:
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
    return _json(
        levels=levels,
        most_used=[{"key": key, "reads": reads} for key, reads in stats.most_used],
        damaged=verified.damaged if verified else None,
        verified_at=verified.at if verified else None,
    )


def invalidated_lines(removed: Invalidated) -> list[str]:
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


def warmed_lines(warmed: tuple[int, int]) -> list[str]:
    entries, size_bytes = warmed
    return [f"{entries} {'entry' if entries == 1 else 'entries'} loaded, {_size(size_bytes)}"]


def verification_lines(verification: Verification) -> list[str]:
    lines = [f"damaged: {entry.key} in {entry.level}" for entry in verification.damaged]
    for level, problems in verification.problems.items():
        lines += [f"damaged: the file of {level}: {problem}" for problem in problems]
    checked = ", ".join(f"{name} {count}" for name, count in verification.checked.items())
    if verification.is_sound:
        return [f"sound: {checked} values checked"]
    end = "removed" if verification.repaired else "`sttbatch cache verify --repair` removes them"
    return [*lines, f"{checked} values checked, {len(verification.damaged)} damaged; {end}"]


def verification_json(verification: Verification) -> list[str]:
    return _json(
        checked=verification.checked,
        damaged=[{"key": entry.key, "level": entry.level} for entry in verification.damaged],
        problems=verification.problems,
        repaired=verification.repaired,
    )


def _json(**facts: object) -> list[str]:
    return [json.dumps(facts)]


def _usage_line(name: str, usage: LevelUsage | None) -> str:
    if usage is None:
        return f"{name:<7}cannot be read; `sttbatch cache verify --repair` recreates it"
    if usage.disk_bytes is None:
        return f"{name:<7}in the memory of each run"
    return (
        f"{name:<7}{usage.entries:>9}{_size(usage.size_bytes):>12}{_size(usage.disk_bytes):>12}"
        f"  {local_time(usage.oldest_at):<18}{local_time(usage.newest_at)}"
    )


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.1f} GiB"
