"""Who owns which output file: two recordings never share one, in this run or over many.

A recording owns a stem (`talk` in `talk.txt`) with all its formats, so that `talk.txt` and
`talk.json` never come from two recordings. What counts as owned is in the ledger's table
`outputs`, and in memory for what this run has planned but not written yet.

`outputs.sha256` is what the file may hold and still be ours: one digest, or several with spaces
between them while a write is under way. Should we be killed, the next run knows both the old and
the new file for its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sttbatch.core.errors import RecordingError
from sttbatch.core.options import OUTPUT_FORMATS, OutputOptions
from sttbatch.database.database import Database
from sttbatch.database.session import Session
from sttbatch.outputs.plans import OutputPlan, Place, Placer, Recording, folded, stems

_FOLDERS_A_QUERY = 400
_MAX_DIGESTS = 8

Row = tuple[bytes, bytes, str]


class NameTakenError(RecordingError):
    """Another run gave a planned name to another recording in the meantime; plan anew."""


class OutputRegistry:
    """The owners of output files. One registry serves one run.

    Every method raises `StateError` where the ledger cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._planned: dict[str, bytes] = {}
        self._planning = asyncio.Lock()

    async def plan(
        self, recordings: Sequence[Recording], options: OutputOptions
    ) -> dict[Path, OutputPlan]:
        """Give each recording its names; whoever comes first keeps the short one.

        Nothing is written: a name is owned from the first output under it, or, for the rest of
        this run, from its plan. Reads the ledger once for every few hundred folders.
        """
        async with self._planning:
            placer = Placer(options.directory)
            places = await asyncio.to_thread(lambda: [placer.place(item) for item in recordings])
            folders = {place.folder_key for place in places}
            rows = await self._database.read(lambda connection: rows_below(connection, folders))
            naming = _Naming(rows, places, self._planned, options.formats)
            return await asyncio.to_thread(
                lambda: {place.recording.path: naming.plan(place) for place in places}
            )

    async def known_outputs(self, folder: Path) -> frozenset[bytes]:
        """The outputs in and below `folder`, as paths that begin with `os.fsencode(folder)`."""
        real = await asyncio.to_thread(os.path.realpath, folder)
        key = os.fsencode(real)
        rows = await self._database.read(lambda connection: rows_below(connection, [key]))
        prefix = len(key.rstrip(b"/")) + 1
        # By bytes: a folder may have many thousand outputs.
        shown = b"" if folder == Path() else os.fsencode(folder).rstrip(b"/") + b"/"
        return frozenset(shown + path[prefix:] for path, _, _ in rows)

    async def digests(self, plan: OutputPlan) -> dict[str, frozenset[str]]:
        """By format, what sttbatch last wrote or meant to write; empty where it never did.

        Raises:
            NameTakenError: a name belongs to another recording by now.
        """
        return await self._database.read(lambda connection: _digests(connection, plan))

    async def intend(self, plan: OutputPlan, digests: Mapping[str, str]) -> None:
        """Own the plan's names and accept `digests` (by format) as ours from now on.

        Raises:
            NameTakenError: a name belongs to another recording by now.
        """
        await self._database.write(lambda connection: _intend(connection, plan, digests))

    async def record(self, plan: OutputPlan, digests: Mapping[str, str]) -> None:
        """The outputs with these digests (by format) are on the disk."""
        await self._database.write(lambda connection: _record(connection, plan, digests))


class _Naming:
    """One planning: what is owned, and the choice that follows from it."""

    def __init__(
        self,
        rows: Iterable[Row],
        places: Sequence[Place],
        planned: dict[str, bytes],
        formats: tuple[str, ...],
    ) -> None:
        self._formats = formats
        self._planned = planned
        self._owners: dict[str, dict[bytes, list[bytes]]] = defaultdict(dict)
        self._own: dict[tuple[bytes, bytes], set[bytes]] = defaultdict(set)
        folders = {place.folder_key for place in places}
        # No output may ever replace a recording, whatever that is called.
        self._recordings = {folded(place.source) for place in places}
        for path, source, format_name in rows:
            folder, _, name = path.rpartition(b"/")
            if (folder or b"/") not in folders:
                continue
            self._recordings.add(folded(source))
            stem = name[: -len(format_name) - 1]
            self._own[folder or b"/", source].add(stem)
            key = folded(path[: -len(format_name) - 1])
            self._owners[key].setdefault(source, []).append(path)

    def plan(self, place: Place) -> OutputPlan:
        candidates = [os.fsencode(stem) for stem in stems(place.recording.path.name, place.source)]
        own = self._own[place.folder_key, place.source]
        # What it was called once, it is called again, even where a better name has become free.
        preferred = [stem for stem in candidates if stem in own]
        for stem in [*preferred, *sorted(own.difference(preferred)), *candidates]:
            key = os.path.join(place.folder_key, stem)  # noqa: PTH118 - bytes
            if self._is_free(key, place.source):
                break
        else:
            raise AssertionError("a SHA-256 of the path is taken by another path")
        self._planned[folded(key)] = place.source
        own.add(stem)
        name = os.fsdecode(stem)
        paths = {item: place.folder / f"{name}.{item}" for item in self._formats}
        return OutputPlan(place.recording, paths, place.source, key)

    def _is_free(self, stem: bytes, source: bytes) -> bool:
        key = folded(stem)
        if self._planned.get(key, source) != source:
            return False
        if any(f"{key}.{name}" in self._recordings for name in self._formats):
            return False
        others = self._owners.get(key, {})
        return all(
            other == source or all(_is_abandoned(other, path) for path in paths)
            for other, paths in others.items()
        )


def rows_below(connection: Session, folders: Iterable[bytes]) -> list[Row]:
    """Path, source and format of every output in or below `folders` (real paths)."""
    ranges: list[tuple[bytes, bytes]] = []
    for folder in sorted(folder.rstrip(b"/") + b"/" for folder in folders):
        # What lies below a folder that is asked for already would come twice.
        if not ranges or not folder.startswith(ranges[-1][0]):
            ranges.append((folder, folder[:-1] + b"0"))  # "0" is what follows "/"
    rows: list[Row] = []
    for first in range(0, len(ranges), _FOLDERS_A_QUERY):
        some = ranges[first : first + _FOLDERS_A_QUERY]
        bounds = [bound for pair in some for bound in pair]
        rows += connection.execute(below_sql(len(some)), bounds)
    return rows


def below_sql(count: int) -> str:
    """The query behind `rows_below`; CROSS JOIN makes it search `outputs` once for each range."""
    return (
        f"WITH ranges (low, high) AS (VALUES {', '.join(['(?, ?)'] * count)}) "  # noqa: S608 - marks
        "SELECT path, source, format FROM ranges CROSS JOIN outputs "
        "WHERE path >= low AND path < high"
    )


def _rows_of_stem(connection: Session, plan: OutputPlan) -> list[Row]:
    keys = [plan.key(name) for name in OUTPUT_FORMATS]
    marks = ", ".join("?" * len(keys))
    query = f"SELECT path, source, sha256 FROM outputs WHERE path IN ({marks})"  # noqa: S608 - marks
    return connection.execute(query, keys).fetchall()


def _digests(connection: Session, plan: OutputPlan) -> dict[str, frozenset[str]]:
    known: dict[bytes, str] = {}
    for path, source, digests in _rows_of_stem(connection, plan):
        if source == plan.source:
            known[path] = digests
        elif not _is_abandoned(source, path):
            raise _taken(plan, source)
    return {name: frozenset(known.get(plan.key(name), "").split()) for name in plan.paths}


def _intend(connection: Session, plan: OutputPlan, digests: Mapping[str, str]) -> None:
    known: dict[bytes, str] = {}
    for path, source, accepted in _rows_of_stem(connection, plan):
        if source == plan.source:
            known[path] = accepted
            continue
        if not _is_abandoned(source, path):
            raise _taken(plan, source)
        connection.execute("DELETE FROM outputs WHERE path = ?", (path,))
    for name, digest in digests.items():
        _store(connection, plan, name, _with(known.get(plan.key(name), ""), digest))


def _record(connection: Session, plan: OutputPlan, digests: Mapping[str, str]) -> None:
    for path, source, accepted in _rows_of_stem(connection, plan):
        for name, digest in digests.items():
            if path == plan.key(name) and source == plan.source:
                # Another run that means to write here would have put its digest last. Whose file
                # came to stay is not known then, so both are ours.
                alone = accepted.split()[-1:] == [digest]
                _store(connection, plan, name, digest if alone else _with(accepted, digest))


def _store(connection: Session, plan: OutputPlan, name: str, digests: str) -> None:
    connection.execute(
        "INSERT INTO outputs (path, source, format, sha256, written_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET source = excluded.source, sha256 = excluded.sha256, "
        "written_at = excluded.written_at",
        (plan.key(name), plan.source, name, digests, time.time()),
    )


def _with(accepted: str, digest: str) -> str:
    others = [other for other in accepted.split() if other != digest]
    return " ".join([*others, digest][-_MAX_DIGESTS:])


def _is_abandoned(source: bytes, path: bytes) -> bool:
    """Whether an output and the recording it came from are both gone from the disk."""
    return not os.path.lexists(source) and not os.path.lexists(path)


def _taken(plan: OutputPlan, source: bytes) -> NameTakenError:
    return NameTakenError(
        f"{os.fsdecode(plan.stem)}.* belongs to {os.fsdecode(source)}; run again for another name"
    )
