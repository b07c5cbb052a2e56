"""The names of speakers: the table `speaker_names`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sttbatch.database.database import Database
from sttbatch.database.store import Session

OF = "SELECT file_sha256, speaker, name FROM speaker_names WHERE file_sha256 = ?"
ALL = "SELECT file_sha256, speaker, name FROM speaker_names"
NAME = """INSERT INTO speaker_names (file_sha256, speaker, name) VALUES (?, ?, ?)
    ON CONFLICT (file_sha256, speaker) DO UPDATE SET name = excluded.name"""
UNNAME = "DELETE FROM speaker_names WHERE file_sha256 = ? AND speaker = ?"
ERASE = "DELETE FROM speaker_names WHERE file_sha256 = ?"


class SqlSpeakerNames:
    """A `SpeakerNames` in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, file_sha256: str) -> Mapping[str, str]:
        return _by_content(await self._database.rows(OF, (file_sha256,))).get(file_sha256, {})

    async def all(self) -> Mapping[str, Mapping[str, str]]:
        return _by_content(await self._database.rows(ALL))

    async def rename(self, file_sha256: str, names: Mapping[str, str | None]) -> None:
        def rename(session: Session) -> None:
            for speaker, name in names.items():
                if name is None:
                    session.execute(UNNAME, (file_sha256, speaker))
                else:
                    session.execute(NAME, (file_sha256, speaker, name))

        await self._database.write(rename)


def _by_content(rows: list[Any]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for sha256, speaker, name in rows:
        found[sha256][speaker] = name
    return dict(found)
