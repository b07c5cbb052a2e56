"""Which recordings have all their outputs, told without opening any file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sttbatch.core.options import OutputOptions
from sttbatch.database.database import Database
from sttbatch.database.session import Session

if TYPE_CHECKING:
    from sttbatch.outputs.plans import OutputPlan

OUTPUTS_VERSION = 1
"""A better formatter must not be hidden by what an older one wrote."""

_SOURCES_A_QUERY = 500


class Wanted(NamedTuple):
    """Outputs that a run should leave behind.

    Attributes:
        source: the recording, as `outputs.source` in the ledger has it.
        folder: where its outputs belong, as a real path that ends in a slash.
        made_from: see `made_from`.
    """

    source: bytes
    folder: bytes
    made_from: str


class Standing(NamedTuple):
    """Outputs that are as they should be; `names` in the order of the formats asked for."""

    names: tuple[str, ...]
    audio_s: float


def made_from(transcript_key: str, shown: str, options: OutputOptions) -> str:
    """Stands for everything that decides an output's bytes: 32 hexadecimal digits."""
    layout = f"{options.words} {options.max_line_width} {options.max_lines} {OUTPUTS_VERSION}"
    facts = f"{transcript_key}\0{layout}\0{shown}"
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class UpToDate:
    """The columns `made_from`, `file_state` and `audio_s` of the table `outputs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(
        self, plan: OutputPlan, paths: Sequence[Path], made_from: str, audio_s: float
    ) -> None:
        """`paths` hold what they should; written only where that is news."""
        rows = []
        for path in paths:
            try:
                state = _state(os.lstat(path))
            except OSError:
                # Somebody took it away again; then the next run has something to do.
                continue
            rows.append((made_from, state, audio_s, plan.key(path.suffix[1:]), plan.source))

        def news(db: Session) -> bool:
            return any(
                db.execute(
                    """SELECT 1 FROM outputs WHERE path = ?4 AND source = ?5
                       AND (made_from, file_state, audio_s) IS NOT (?1, ?2, ?3)""",
                    row,
                ).fetchone()
                for row in rows
            )

        if await self._database.read(news):
            await self._database.write(
                lambda db: db.executemany(
                    """UPDATE outputs SET made_from = ?, file_state = ?, audio_s = ?
                       WHERE path = ? AND source = ?""",
                    rows,
                )
            )

    async def standing(
        self, wanted: Sequence[Wanted], formats: Sequence[str]
    ) -> dict[bytes, Standing]:
        """By source, those whose outputs in all `formats` are as they were left."""
        found: dict[bytes, Standing] = {}
        for at in range(0, len(wanted), _SOURCES_A_QUERY):
            part = {each.source: each for each in wanted[at : at + _SOURCES_A_QUERY]}
            rows = await self._database.read(partial(_select, sources=list(part)))
            by_source: dict[bytes, dict[str, tuple[bytes, float]]] = {}
            for source, format_name, path, origin, state, audio_s in rows:
                each = part[source]
                folder, slash, name = path.rpartition(b"/")
                is_there = origin == each.made_from and folder + slash == each.folder
                if is_there and _is(path, state):
                    by_source.setdefault(source, {})[format_name] = name, audio_s
            for source, outputs in by_source.items():
                standing = _standing(outputs, formats)
                if standing is not None:
                    found[source] = standing
        return found


def _standing(
    outputs: Mapping[str, tuple[bytes, float]], formats: Sequence[str]
) -> Standing | None:
    """Outputs by format, as (name, seconds of audio), if all are there and belong together."""
    try:
        chosen = [outputs[name] for name in formats]
    except KeyError:
        return None
    if len({name.rpartition(b".")[0] for name, _ in chosen}) != 1:
        return None
    return Standing(tuple([os.fsdecode(name) for name, _ in chosen]), chosen[0][1])


def _select(
    db: Session, sources: Sequence[bytes]
) -> list[tuple[bytes, str, bytes, str, str, float]]:
    marks = ",".join("?" * len(sources))
    return db.execute(
        f"""SELECT source, format, path, made_from, file_state, audio_s
            FROM outputs WHERE source IN ({marks})""",  # noqa: S608 - question marks only
        sources,
    ).fetchall()


def _is(path: bytes, state: str) -> bool:
    try:
        return _state(os.lstat(path)) == state
    except OSError:
        return False


def _state(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
