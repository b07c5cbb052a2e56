"""OutputRegistry: which recording owns which output file, and whether outputs are unchanged.

No two recordings share an output, in one run or in several. A recording owns a stem (`talk` in
`talk.txt`) with all formats, so that `talk.txt` and `talk.json` never come from two recordings. The
owners are those in the store, and those that this registry has planned.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sttbatch.core.errors import RecordingError
from sttbatch.core.file_records import OutputDigests, OutputOwner, OutputRecipe, OutputState
from sttbatch.core.locations import OBJECT_SCHEME, Location, ObjectUrl, location
from sttbatch.core.options import OUTPUT_FORMATS, OutputOptions
from sttbatch.core.ports import Objects, OutputStore
from sttbatch.outputs.object_files import object_states
from sttbatch.outputs.output_names import (
    LONGEST_ENDING,
    OutputLocation,
    OutputLocator,
    OutputPlan,
    Recording,
    folded,
    longest_name,
    stems,
)
from sttbatch.outputs.owned_names import NameIndex, OwnedNames, stems_of

_OBJECT = OBJECT_SCHEME.encode()


class IntactOutputs(NamedTuple):
    """Outputs that are up to date; `names` in the order of the requested formats."""

    names: tuple[str, ...]
    audio_s: float


class Origin(NamedTuple):
    """What outputs were made from; `made_from` as the function of that name returns it."""

    made_from: str
    audio_s: float
    recipe: OutputRecipe | None = None


class NameTakenError(RecordingError):
    """Another run has given a planned name to another recording; plan again."""


class OutputRegistry:
    """The owners of output files, for one run; raises `StateError` if the store cannot be used.

    Args:
        owned: what other runs of this process know too.
        objects: needed for outputs in buckets.
    """

    def __init__(
        self,
        store: OutputStore,
        owned: OwnedNames | None = None,
        objects: Objects | None = None,
    ) -> None:
        self._store = store
        self.objects = objects
        self._owned = owned or OwnedNames(store)
        self._planned: dict[str, bytes] = {}

    async def plan(
        self, recordings: Sequence[Recording], options: OutputOptions
    ) -> dict[Location, OutputPlan]:
        """Give each recording its names; the first one gets the shortest.

        Nothing is written: a name is reserved for this run, and owned once an output is written.
        """
        locator = OutputLocator(options.directory)
        locations = await asyncio.to_thread(
            lambda: [locator.locate(str(each.path), str(each.root)) for each in recordings]
        )
        async with self._owned.index({each.target for each in locations}) as index:
            index.recordings.update(folded(each.source) for each in locations)
            naming = _Naming(index, self._planned, options.formats)
            return await asyncio.to_thread(
                lambda: {
                    recording.path: naming.plan(recording, place)
                    for recording, place in zip(recordings, locations, strict=True)
                }
            )

    async def known_outputs(self, folder: Location) -> frozenset[bytes]:
        """The outputs in and below `folder`, as paths that begin with `os.fsencode(folder)`."""
        is_bucket = isinstance(folder, ObjectUrl)
        real = folder if is_bucket else await asyncio.to_thread(os.path.realpath, folder)
        key = os.fsencode(real)
        owners = await self._store.owners_below([key])
        prefix = len(key.rstrip(b"/")) + 1
        # By bytes: a folder may have many thousand outputs.
        spelled = b"" if folder == Path() else os.fsencode(folder).rstrip(b"/") + b"/"
        return frozenset(spelled + owner.path[prefix:] for owner in owners)

    async def digests(self, plan: OutputPlan) -> dict[str, frozenset[str]]:
        """By format, the digests that sttbatch wrote or may have written.

        Raises NameTakenError if a name belongs to another recording by now.
        """
        outputs = await self._store.digests(_paths_of_stem(plan))
        others = [output for output in outputs if output.source != plan.source]
        await self._refuse_unless_abandoned(plan, others)
        known = {output.path: output.sha256s for output in outputs if output not in others}
        return {name: frozenset(known.get(plan.key(name), ())) for name in plan.paths}

    async def intend(self, plan: OutputPlan, sha256s: Mapping[str, str]) -> None:
        """Own the plan's names, and accept digests (by format) as ours; raises NameTakenError."""
        abandoned: frozenset[OutputDigests] = frozenset()
        claimed = {plan.key(name): (name, sha256) for name, sha256 in sha256s.items()}
        # The disk is examined between two transactions; the second checks the result of the first.
        while others := await self._store.claim(
            plan.source, _paths_of_stem(plan), claimed, abandoned
        ):
            await self._refuse_unless_abandoned(plan, others)
            abandoned |= set(others)

    async def record(
        self,
        plan: OutputPlan,
        sha256s: Mapping[str, str],
        origin: Origin | None = None,
        unchanged: Iterable[str] = (),
    ) -> None:
        """Record that outputs were written with these digests (by format).

        With an `origin`, also the states of these and of the formats that are `unchanged`.
        """
        names = (*sha256s, *unchanged)
        states = await self._states(plan, names, origin) if origin is not None else []
        digests = {plan.key(name): (name, sha256) for name, sha256 in sha256s.items()}
        if digests or states:
            recipe = origin.recipe if origin is not None else None
            await self._store.record(plan.source, digests, states, recipe)

    async def _refuse_unless_abandoned(
        self, plan: OutputPlan, others: Sequence[OutputDigests]
    ) -> None:
        for output in others:
            if not await asyncio.to_thread(_is_abandoned, output):
                self._owned.expire()
                raise NameTakenError(
                    f"{os.fsdecode(plan.stem)}.* belongs to {os.fsdecode(output.source)}; "
                    "run again for another name"
                )

    async def _states(
        self, plan: OutputPlan, names: Iterable[str], origin: Origin
    ) -> list[OutputState]:
        paths = {name: plan.paths[name] for name in names}
        found = await self._object_states([*paths.values()])
        files = {
            name: path for name, place in paths.items() if (path := os.fsencode(place)) not in found
        }
        by_name = {name: found.get(os.fsencode(place)) for name, place in paths.items()}
        if files:
            by_name |= await asyncio.to_thread(
                lambda: {name: state_of(path) for name, path in files.items()}
            )
        return [
            OutputState(plan.key(name), plan.source, name, origin.made_from, state, origin.audio_s)
            for name, state in by_name.items()
            # If it was removed meanwhile, the next run writes it again.
            if state is not None
        ]

    async def intact(
        self, expected: Iterable[tuple[OutputLocation, str]], formats: Sequence[str]
    ) -> dict[bytes, IntactOutputs]:
        """By source, the outputs of recordings that are unchanged in all `formats`.

        `expected` has the locations of outputs, and their `made_from`.
        """
        by_source = {place.source: (place.target, origin) for place, origin in expected}
        found: dict[bytes, dict[str, tuple[bytes, float]]] = {}
        states = await self._store.states(list(by_source))
        in_buckets = await self._object_states(
            [
                ObjectUrl(os.fsdecode(path))
                for path, source, _, origin, *_ in states
                if path.startswith(_OBJECT) and origin == by_source[source][1]
            ]
        )
        for path, source, format_name, origin, file_state, audio_s in states:
            folder, expected_origin = by_source[source]
            name = path.removeprefix(folder)
            if (
                origin == expected_origin
                and name != path
                and b"/" not in name
                and audio_s is not None
                and file_state is not None
                and file_state == (in_buckets[path] if path in in_buckets else state_of(path))
            ):
                found.setdefault(source, {})[format_name] = name, audio_s
        intact: dict[bytes, IntactOutputs] = {}
        wanted = set(formats)
        for source, outputs in found.items():
            if not wanted or not wanted <= outputs.keys():
                continue
            names = [outputs[name][0] for name in formats]
            # Outputs of one recording have the same stem.
            stem = names[0].rpartition(b".")[0]
            if all(name.rpartition(b".")[0] == stem for name in names):
                audio_s = outputs[formats[0]][1]
                intact[source] = IntactOutputs(tuple(map(os.fsdecode, names)), audio_s)
        return intact

    async def _object_states(self, paths: Sequence[Location]) -> dict[bytes, str | None]:
        """The states of those of `paths` that are objects."""
        urls = [path for path in paths if isinstance(path, ObjectUrl)]
        if not urls or self.objects is None:
            return {}
        objects = self.objects
        return await asyncio.to_thread(lambda: object_states(objects(), urls))


class _Naming:
    """Chooses names that no other recording owns."""

    def __init__(
        self, index: NameIndex, planned: dict[str, bytes], formats: tuple[str, ...]
    ) -> None:
        self._index = index
        self._planned = planned
        self._formats = formats

    def plan(self, recording: Recording, place: OutputLocation) -> OutputPlan:
        source, target, folder = place
        ending = max(map(len, self._formats), default=0) + len(".")
        longest = longest_name(os.fsdecode(target)) - max(ending, LONGEST_ENDING)
        candidates = [os.fsencode(stem) for stem in stems(recording.path.name, source, longest)]
        own = {stem for stem in self._index.own[target, source] if len(stem) <= longest}
        # A recording keeps its name, even if a better one has become free.
        preferred = [stem for stem in candidates if stem in own]
        for stem in [*preferred, *sorted(own.difference(preferred)), *candidates]:
            key = target + stem
            if self._is_free(key, source):
                break
        else:
            raise AssertionError("a SHA-256 of the path is taken by another path")
        self._planned |= dict.fromkeys(self._taken(key), source)
        self._index.own[target, source].add(stem)
        path = folder + os.fsdecode(stem)
        paths = {name: location(f"{path}.{name}") for name in self._formats}
        return OutputPlan(recording, paths, source, key)

    def _is_free(self, stem: bytes, source: bytes) -> bool:
        key = folded(stem)
        if any(f"{key}.{name}" in self._index.recordings for name in self._formats):
            return False
        return all(
            self._planned.get(taken, source) == source
            and all(
                other == source or all(map(_is_abandoned, outputs))
                for other, outputs in self._index.owners.get(taken, {}).items()
            )
            for taken in self._taken(stem)
        )

    def _taken(self, stem: bytes) -> set[str]:
        """The folded stems that the outputs would take."""
        taken = set[bytes]({stem}).union(*(stems_of(stem, name) for name in self._formats))
        return set(map(folded, taken))


def _paths_of_stem(plan: OutputPlan) -> list[bytes]:
    return [plan.key(name) for name in {*OUTPUT_FORMATS, *plan.paths}]


def _is_abandoned(output: OutputOwner | OutputDigests) -> bool:
    """Whether neither an output nor its recording exists, as far as this machine can know.

    Objects are taken to exist, as a look at each would be a request.
    """
    return not (
        output.source.startswith(_OBJECT)
        or output.path.startswith(_OBJECT)
        or output.is_elsewhere
        or os.path.lexists(output.source)
        or os.path.lexists(output.path)
    )


def state_of(path: Path | bytes) -> str | None:
    """A file's size, times and inode; None: it does not exist."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
