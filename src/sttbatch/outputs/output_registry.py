"""Which recording owns which output file: no two ever share one, in this run or over many.

A recording owns a stem (`talk` in `talk.txt`) with all its formats, so that `talk.txt` and
`talk.json` never come from two recordings. Owned is what the store says, and what this registry
has planned and nobody has written yet.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sttbatch.core.errors import RecordingError
from sttbatch.core.file_records import OutputDigests, OutputOwner
from sttbatch.core.options import OUTPUT_FORMATS, OutputOptions
from sttbatch.core.ports import OutputStore
from sttbatch.outputs.output_names import (
    OutputLocation,
    OutputLocator,
    OutputPlan,
    Recording,
    folded,
    stems,
)


class NameTakenError(RecordingError):
    """Another run gave a planned name to another recording in the meantime; plan again."""


class OutputRegistry:
    """The owners of output files. One registry serves one run.

    Every method raises `StateError` where the store cannot be used.
    """

    def __init__(self, store: OutputStore) -> None:
        self._store = store
        self._planned: dict[str, bytes] = {}
        self._planning = asyncio.Lock()

    async def plan(
        self, recordings: Sequence[Recording], options: OutputOptions
    ) -> dict[Path, OutputPlan]:
        """Give each recording its names; whoever comes first gets the short one.

        Nothing is written: a name is owned from the first output under it, or, for the rest of
        this run, from its plan.
        """
        async with self._planning:
            locator = OutputLocator(options.directory)
            locations = await asyncio.to_thread(
                lambda: [locator.locate(str(each.path), str(each.root)) for each in recordings]
            )
            owners = await self._store.owners_below({each.target for each in locations})
            naming = _Naming(owners, locations, self._planned, options.formats)
            return await asyncio.to_thread(
                lambda: {
                    recording.path: naming.plan(recording, location)
                    for recording, location in zip(recordings, locations, strict=True)
                }
            )

    async def known_outputs(self, folder: Path) -> frozenset[bytes]:
        """The outputs in and below `folder`, as paths that begin with `os.fsencode(folder)`."""
        real = await asyncio.to_thread(os.path.realpath, folder)
        key = os.fsencode(real)
        owners = await self._store.owners_below([key])
        prefix = len(key.rstrip(b"/")) + 1
        # By bytes: a folder may have many thousand outputs.
        spelled = b"" if folder == Path() else os.fsencode(folder).rstrip(b"/") + b"/"
        return frozenset(spelled + owner.path[prefix:] for owner in owners)

    async def digests(self, plan: OutputPlan) -> dict[str, frozenset[str]]:
        """By format, what sttbatch last wrote or meant to write; empty where it never did.

        Raises:
            NameTakenError: a name belongs to another recording by now.
        """
        outputs = await self._store.digests(_paths_of_stem(plan))
        others = [output for output in outputs if output.source != plan.source]
        await asyncio.to_thread(_refuse_unless_abandoned, plan, others)
        known = {output.path: output.sha256s for output in outputs if output not in others}
        return {name: frozenset(known.get(plan.key(name), ())) for name in plan.paths}

    async def intend(self, plan: OutputPlan, sha256s: Mapping[str, str]) -> None:
        """Own the plan's names and accept digests (by format) as ours from now on.

        Raises:
            NameTakenError: a name belongs to another recording by now.
        """
        abandoned: frozenset[OutputDigests] = frozenset()
        claimed = {plan.key(name): (name, sha256) for name, sha256 in sha256s.items()}
        # The disk is looked at between two transactions; the second one checks what the first saw.
        while others := await self._store.claim(
            plan.source, _paths_of_stem(plan), claimed, abandoned
        ):
            await asyncio.to_thread(_refuse_unless_abandoned, plan, others)
            abandoned |= set(others)

    async def record(self, plan: OutputPlan, sha256s: Mapping[str, str]) -> None:
        """The outputs with these digests (by format) are on the disk."""
        await self._store.record(
            plan.source, {plan.key(name): (name, sha256) for name, sha256 in sha256s.items()}
        )


class _Naming:
    """One planning: what is owned, and the choice that follows from it."""

    def __init__(
        self,
        owners: Iterable[OutputOwner],
        locations: Sequence[OutputLocation],
        planned: dict[str, bytes],
        formats: tuple[str, ...],
    ) -> None:
        self._formats = formats
        self._planned = planned
        self._owners: dict[str, dict[bytes, list[bytes]]] = defaultdict(dict)
        self._own: dict[tuple[bytes, bytes], set[bytes]] = defaultdict(set)
        folders = {location.target for location in locations}
        # No output may ever replace a recording, whatever that is called.
        self._recordings = {folded(location.source) for location in locations}
        for path, source, format_name in owners:
            folder, slash, name = path[: -len(format_name) - 1].rpartition(b"/")
            folder += slash
            if folder in folders:
                self._recordings.add(folded(source))
                self._own[folder, source].add(name)
                self._owners[folded(folder + name)].setdefault(source, []).append(path)

    def plan(self, recording: Recording, location: OutputLocation) -> OutputPlan:
        source, target, folder = location
        candidates = [os.fsencode(stem) for stem in stems(recording.path.name, source)]
        own = self._own[target, source]
        # What it was called once, it is called again, even where a better name has become free.
        preferred = [stem for stem in candidates if stem in own]
        for stem in [*preferred, *sorted(own.difference(preferred)), *candidates]:
            key = target + stem
            if self._is_free(key, source):
                break
        else:
            raise AssertionError("a SHA-256 of the path is taken by another path")
        self._planned[folded(key)] = source
        own.add(stem)
        path = folder + os.fsdecode(stem)
        paths = {name: Path(f"{path}.{name}") for name in self._formats}
        return OutputPlan(recording, paths, source, key)

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


def _paths_of_stem(plan: OutputPlan) -> list[bytes]:
    return [plan.key(name) for name in OUTPUT_FORMATS]


def _refuse_unless_abandoned(plan: OutputPlan, others: Iterable[OutputDigests]) -> None:
    for output in others:
        if not _is_abandoned(output.source, output.path):
            raise NameTakenError(
                f"{os.fsdecode(plan.stem)}.* belongs to {os.fsdecode(output.source)}; "
                "run again for another name"
            )


def _is_abandoned(source: bytes, path: bytes) -> bool:
    """Whether an output and the recording it came from are both gone from the disk."""
    return not os.path.lexists(source) and not os.path.lexists(path)
