"""Output files, their owners and states: the table `outputs`.

`sha256` has the digests by which a file is recognised as ours: one, or several separated by spaces
while it is written, so that after a crash the next run recognises both the old and the new file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from sttbatch.core.file_records import (
    OutputDigests,
    OutputOwner,
    OutputRecipe,
    OutputState,
    RecordedOutput,
)
from sttbatch.database.database import Database, expand
from sttbatch.database.store import Session

_FOLDERS_A_QUERY = 400
_MAX_DIGESTS = 8

# CROSS JOIN makes SQLite search `outputs` once for each range.
OWNERS_BELOW = """
    WITH ranges (low, high) AS (VALUES ?*)
    SELECT path, source, format, host
    FROM ranges CROSS JOIN outputs WHERE path >= low AND path < high"""
DIGESTS = "SELECT path, source, sha256, host FROM outputs WHERE path IN (?*)"
DISOWN = "DELETE FROM outputs WHERE path = ?"
OWN = """
    INSERT INTO outputs (path, source, format, sha256, host) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (path) DO UPDATE SET
        source = excluded.source, sha256 = excluded.sha256, host = excluded.host"""
MOVE_HOST = "UPDATE outputs SET host = ? WHERE host = ?"
STATES = """
    SELECT path, source, format, made_from, file_state, audio_s
    FROM outputs WHERE source IN (?*)"""
REMEMBER_STATE = """
    UPDATE outputs SET made_from = :made_from, file_state = :file_state, audio_s = :audio_s,
        transcript_key = :transcript_key, recipe = :recipe, dictionary = :dictionary
    WHERE path = :path AND source = :source AND (
        made_from IS DISTINCT FROM :made_from OR file_state IS DISTINCT FROM :file_state
        OR audio_s IS DISTINCT FROM :audio_s OR recipe IS DISTINCT FROM :recipe)"""
KEEP_RULES = (
    "INSERT INTO dictionaries (sha256, rules) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING"
)
OF_RECORDINGS = """
    SELECT path, source, format, transcript_key, recipe, rules
    FROM outputs LEFT JOIN dictionaries ON dictionaries.sha256 = outputs.dictionary
    WHERE source IN (?*) ORDER BY path"""


class SqlOutputStore:
    """An `OutputStore` in the ledger; `host` is this machine, if there are several."""

    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host

    async def owners_below(self, folders: Iterable[bytes]) -> list[OutputOwner]:
        bounds = _bounds(folders)
        owners: list[OutputOwner] = []
        for at in range(0, len(bounds), 2 * _FOLDERS_A_QUERY):
            batch = bounds[at : at + 2 * _FOLDERS_A_QUERY]
            rows = await self._database.rows(owners_below(len(batch) // 2), batch)
            owners += (
                OutputOwner(path, source, name, self._is_elsewhere(host))
                for path, source, name, host in rows
            )
        return owners

    async def digests(self, paths: Sequence[bytes]) -> list[OutputDigests]:
        return await self._database.read(partial(self._digests, paths=paths))

    async def claim(
        self,
        source: bytes,
        paths: Sequence[bytes],
        sha256s: Mapping[bytes, tuple[str, str]],
        abandoned: frozenset[OutputDigests] = frozenset(),
    ) -> tuple[OutputDigests, ...]:
        def claim(session: Session) -> tuple[OutputDigests, ...]:
            known = self._digests(session, paths)
            others = {output for output in known if output.source != source}
            if not others <= abandoned:
                return tuple(sorted(others))
            for output in others:
                session.execute(DISOWN, (output.path,))
            ours = {output.path: output.sha256s for output in known if output not in others}
            for path, (name, sha256) in sha256s.items():
                digests = _with(ours.get(path, ()), sha256)
                session.execute(OWN, (path, source, name, " ".join(digests), self._host))
            return ()

        return await self._database.write(claim)

    async def record(
        self,
        source: bytes,
        sha256s: Mapping[bytes, tuple[str, str]],
        states: Sequence[OutputState] = (),
        recipe: OutputRecipe | None = None,
    ) -> None:
        key, text, rules = recipe or (None, None, "")
        digest = hashlib.sha256(rules.encode()).hexdigest() if rules else None
        made = {"transcript_key": key, "recipe": text, "dictionary": digest}
        rows = [state._asdict() | made for state in states]

        def record(session: Session) -> None:
            for output in self._digests(session, list(sha256s)):
                name, sha256 = sha256s[output.path]
                if output.source != source:
                    continue
                # Another digest comes last if another run is writing here too. Either of the two
                # files may remain, so both are ours.
                alone = output.sha256s[-1:] == (sha256,)
                digests = (sha256,) if alone else _with(output.sha256s, sha256)
                session.execute(OWN, (output.path, source, name, " ".join(digests), self._host))
            if digest is not None:
                session.execute(KEEP_RULES, (digest, rules))
            session.executemany(REMEMBER_STATE, rows)

        await self._database.write(record)

    async def states(self, sources: Sequence[bytes]) -> list[OutputState]:
        rows = await self._database.batched_rows(STATES, sources)
        return [OutputState._make(row) for row in rows]

    async def outputs_of(self, sources: Sequence[bytes]) -> list[RecordedOutput]:
        rows = await self._database.batched_rows(OF_RECORDINGS, sources)
        return [
            RecordedOutput(
                path, source, name, None if text is None else OutputRecipe(key, text, rules or "")
            )
            for path, source, name, key, text, rules in rows
        ]

    def _digests(self, session: Session, paths: Sequence[bytes]) -> list[OutputDigests]:
        rows = session.execute(expand(DIGESTS, len(paths)), paths)
        return [
            OutputDigests(path, source, tuple(digests.split()), self._is_elsewhere(host))
            for path, source, digests, host in rows
        ]

    def _is_elsewhere(self, host: str) -> bool:
        return host not in {"", self._host}


def owners_below(count: int) -> str:
    """The query of outputs in `count` ranges of paths."""
    return OWNERS_BELOW.replace("?*", ", ".join(["(?, ?)"] * count))


def _bounds(folders: Iterable[bytes]) -> list[bytes]:
    """The range of paths below each of `folders`: the lowest, and the lowest one after it."""
    bounds: list[bytes] = []
    for folder in sorted(folder.rstrip(b"/") + b"/" for folder in folders):
        # A folder below another of them would yield its outputs twice.
        if not bounds or not folder.startswith(bounds[-2]):
            bounds += (folder, folder[:-1] + b"0")  # "0" is what follows "/"
    return bounds


def _with(accepted: Sequence[str], digest: str) -> tuple[str, ...]:
    others = [other for other in accepted if other != digest]
    return tuple([*others, digest][-_MAX_DIGESTS:])
