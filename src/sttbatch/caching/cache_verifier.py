from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from sttbatch.core.cache_entries import VerifiableLevel
from sttbatch.core.errors import CacheUnreachable, StateError

_ROWS_A_DROP = 500


class Damaged(Struct, frozen=True):
    """An entry whose value does not have its hash."""

    key: str
    level: str


class Verification(Struct):
    """The result of a verification.

    Attributes:
        checked: numbers of values by level.
        problems: damage of a level's file, or why it cannot be read to the end.
        unreachable: why a level could not be checked, by level.
        repaired: damaged entries were removed and files repaired.
    """

    checked: dict[str, int] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)
    problems: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)
    repaired: bool = False

    @property
    def has_damage(self) -> bool:
        return bool(self.damaged or self.problems)

    @property
    def is_sound(self) -> bool:
        return not self.has_damage and not self.unreachable


async def verified(levels: Sequence[VerifiableLevel], *, repair: bool = False) -> Verification:
    """Check every level, with memory for damaged entries only.

    With `repair`, damaged entries are removed, so that they are paid for again when they are
    needed; StateError is raised if damage cannot be repaired.
    """
    verification = Verification()
    for level in levels:
        rows = await _check(level, verification)
        if repair:
            await _repair(level, rows, verification)
    verification.repaired = repair and verification.has_damage
    return verification


async def _check(level: VerifiableLevel, verification: Verification) -> list[int]:
    rows = []
    count = 0
    problems = await level.integrity()
    try:
        async for entry in level.check():
            count += 1
            if not entry.is_sound:
                rows.append(entry.row)
                verification.damaged.append(Damaged(entry.key, level.name))
    except CacheUnreachable as error:
        verification.unreachable[level.name] = str(error)
    except StateError as error:
        problems = (*problems, str(error))
    verification.checked[level.name] = count
    if problems:
        verification.problems[level.name] = problems
    return rows


async def _repair(level: VerifiableLevel, rows: Sequence[int], verification: Verification) -> None:
    # Indexes first: rows cannot be removed from a table while its indexes disagree with it.
    if level.name in verification.unreachable:
        return
    if level.name in verification.problems:
        await level.rebuild()
    for at in range(0, len(rows), _ROWS_A_DROP):
        await level.drop(rows[at : at + _ROWS_A_DROP])
    remaining = await level.integrity()
    if remaining:
        raise StateError(
            f"{level.name} is damaged beyond repair: {remaining[0]}; restore its file from a "
            "backup, or move it away"
        )
