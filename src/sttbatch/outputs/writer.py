"""OutputWriter: writes outputs, and never replaces files that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.locations import Location, ObjectUrl
from sttbatch.core.options import OutputOptions
from sttbatch.core.threads import computed
from sttbatch.outputs.atomic_files import Existing, Target, examine, explained, replace_all, sweep
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.made_from import made_from
from sttbatch.outputs.object_files import ObjectTarget, examine_object, replace_objects
from sttbatch.outputs.output_names import OutputPlan, Recording, link_between, object_link
from sttbatch.outputs.output_registry import (
    NameTakenError,
    Origin,
    OutputRegistry,
)
from sttbatch.outputs.recipes import stored_recipe
from sttbatch.outputs.spooled_content import SpooledContent

_ROUNDS = 5
"""How often names are planned, and files examined, while other runs write the same outputs."""


class Written(Struct, frozen=True):
    """The outputs of one recording after writing.

    Attributes:
        paths: outputs that contain the transcript, in the order of the requested formats.
        untouched: existing files that were not written by sttbatch, or were edited since.
    """

    paths: tuple[Location, ...]
    untouched: tuple[Location, ...] = ()


@dataclass(slots=True, eq=False)
class OutputWriter:
    """Plans and writes the outputs of one run; `observe` receives each document afterwards.

    Until they are written, long outputs are in `folder`; None: the system's for temporary files.
    """

    registry: OutputRegistry
    observe: Callable[[Document], Awaitable[None]] | None = None
    folder: Path | None = None
    _plans: dict[tuple[Location, OutputOptions], OutputPlan] = field(
        default_factory=dict, init=False
    )
    _swept: set[Location] = field(default_factory=set, init=False)

    async def plan(self, recordings: Sequence[Recording], options: OutputOptions) -> None:
        """Plan the names of all outputs, before any is written."""
        plans = await self.registry.plan(recordings, options)
        self._plans |= {(path, options): plan for path, plan in plans.items()}

    def adopt(self, plan: OutputPlan, options: OutputOptions) -> None:
        """Take names as planned that the recording already owns."""
        self._plans[plan.recording.path, options] = plan

    async def write(
        self, document: Document, recording: Location, transcript_key: str | None = None
    ) -> Written:
        """Write the outputs of a planned recording that are not up to date.

        If another run has taken the planned name, the recording gets another one. With a
        `transcript_key`, a later run recognises the recording as up to date.

        Raises:
            RecordingError: a file cannot be written; says which one and what to do.
            StateError: the ledger cannot be used.
        """
        options = document.options
        written, planned = Written(()), (recording, options)

        def contents(plan: OutputPlan) -> dict[str, Iterable[bytes]]:
            link = self.link(recording, options)
            shown = replace(document, url=_public_url(plan, options), link=link)
            return {name: FORMATS[name.rpartition(".")[2]](shown) for name in plan.paths}

        origin = None
        if transcript_key is not None:
            facts = made_from(
                transcript_key, document.source, options, document.names, document.date
            )
            recipe = stored_recipe(document, transcript_key)
            origin = Origin(facts, document.transcript.duration_s, recipe)
        if self._plans[planned].paths:
            is_short = document.transcript.is_short and document.file is None
            written = await self._write_planned(planned, contents, origin, is_short=is_short)
        if self.observe is not None:
            await self.observe(document)
        return written

    def link(self, recording: Location, options: OutputOptions) -> str | None:
        """The URL by which the outputs of a planned recording refer to it, if there is one."""
        paths = self._plans[recording, options].paths.values()
        return next(
            (link_between(path, recording, options.public_base_url) for path in paths), None
        )

    async def write_contents(
        self,
        recording: Location,
        options: OutputOptions,
        contents: Callable[[], Mapping[str, Iterable[bytes]]],
    ) -> Written:
        """Write outputs of a planned recording that are not up to date; as `write`.

        `contents` makes their bytes by format, in another thread; again, if a name was taken.
        """
        return await self._write_planned((recording, options), lambda _: contents())

    async def _write_planned(
        self,
        planned: tuple[Location, OutputOptions],
        contents_of: Callable[[OutputPlan], Mapping[str, Iterable[bytes]]],
        origin: Origin | None = None,
        *,
        is_short: bool = False,
    ) -> Written:
        _, options = planned
        for remaining in reversed(range(_ROUNDS)):
            plan = self._plans[planned]
            with contextlib.ExitStack() as opened:
                spool = partial(self._spooled, plan, contents_of, opened)
                contents = await computed(spool, small=is_short)
                try:
                    return await self._write(plan, contents, origin, overwrite=options.overwrite)
                except NameTakenError:
                    if not remaining:
                        raise
            await self.plan([plan.recording], options)
        raise AssertionError("the last round returns or raises")

    def _spooled(
        self,
        plan: OutputPlan,
        contents_of: Callable[[OutputPlan], Mapping[str, Iterable[bytes]]],
        opened: contextlib.ExitStack,
    ) -> dict[str, SpooledContent]:
        spooled: dict[str, SpooledContent] = {}
        for name, pieces in contents_of(plan).items():
            with explained(plan.paths[name]):
                spooled[name] = opened.enter_context(SpooledContent(pieces, self.folder))
        return spooled

    async def _write(
        self,
        plan: OutputPlan,
        contents: Mapping[str, SpooledContent],
        origin: Origin | None,
        *,
        overwrite: bool,
    ) -> Written:
        folder = next(iter(plan.paths.values())).parent
        if not isinstance(folder, ObjectUrl) and folder not in self._swept:
            self._swept.add(folder)
            await asyncio.to_thread(sweep, folder)
        foreign: set[str] = set()
        lost: set[str] = set()
        # Of files that are not there no digests are needed, and the claim of their names tells
        # whether they are ours.
        known = {name: frozenset[str]() for name in plan.paths}
        targets = await asyncio.to_thread(self._examine_all, plan, contents, known)
        # A file that is not ours may be what another run of the same job has just written.
        for _ in range(_ROUNDS):
            if lost or any(each.existing is not Existing.NOTHING for each in targets.values()):
                latest = await self.registry.digests(plan)
                if latest == known and not lost and foreign:
                    break
                known = latest
                targets = await asyncio.to_thread(self._examine_all, plan, contents, known)
            foreign, lost = await self._write_changed(
                plan, targets, known, origin, overwrite=overwrite
            )
            if not (foreign or lost):
                break
        untouched = foreign | lost
        return Written(
            tuple(path for name, path in plan.paths.items() if name not in untouched),
            tuple(path for name, path in plan.paths.items() if name in untouched),
        )

    async def _write_changed(
        self,
        plan: OutputPlan,
        targets: Mapping[str, Target | ObjectTarget],
        known: Mapping[str, frozenset[str]],
        origin: Origin | None,
        *,
        overwrite: bool,
    ) -> tuple[set[str], set[str]]:
        """Write the outputs that are not up to date.

        Returns the formats of files that are not ours, and of those that others wrote meanwhile.
        """
        foreign = {
            name
            for name, target in targets.items()
            if target.existing is Existing.FOREIGN and not overwrite
        }
        changed = {
            name: target
            for name, target in targets.items()
            if name not in foreign
            and (target.existing is not Existing.SAME or known[name] != {target.content.sha256})
        }
        unchanged = targets.keys() - changed.keys() - foreign
        return foreign, await self._put(plan, changed, unchanged, origin)

    def _examine_all(
        self,
        plan: OutputPlan,
        contents: Mapping[str, SpooledContent],
        known: Mapping[str, frozenset[str]],
    ) -> dict[str, Target | ObjectTarget]:
        return {
            name: self._examine(path, contents[name], known[name])
            for name, path in plan.paths.items()
        }

    def _examine(
        self, path: Location, content: SpooledContent, known: frozenset[str]
    ) -> Target | ObjectTarget:
        if not isinstance(path, ObjectUrl):
            return examine(path, content, known)
        assert self.registry.objects is not None
        return examine_object(self.registry.objects(), path, content, known)

    def _replace(self, stale: Sequence[Target | ObjectTarget]) -> list[Target | ObjectTarget]:
        files = [each for each in stale if isinstance(each, Target)]
        skipped: list[Target | ObjectTarget] = [*replace_all(files)] if files else []
        if objects := [each for each in stale if isinstance(each, ObjectTarget)]:
            assert self.registry.objects is not None
            skipped += replace_objects(self.registry.objects(), objects)
        return skipped

    async def _put(
        self,
        plan: OutputPlan,
        changed: dict[str, Target | ObjectTarget],
        unchanged: Iterable[str],
        origin: Origin | None,
    ) -> set[str]:
        """Write `changed`, and record all; returns the formats that others wrote meanwhile."""
        if changed:
            await self.registry.intend(plan, _sha256s(changed))
        # A file with the right content only has to be recorded.
        stale = [target for target in changed.values() if target.existing is not Existing.SAME]
        skipped = await asyncio.to_thread(self._replace, stale) if stale else []
        lost = {name for name, target in changed.items() if target in skipped}
        done = {name: target for name, target in changed.items() if name not in lost}
        await self.registry.record(plan, _sha256s(done), origin, unchanged)
        return lost


def _public_url(plan: OutputPlan, options: OutputOptions) -> str | None:
    """Where others read the recording's json."""
    path = plan.paths.get("json")
    if options.public_base_url is None or not isinstance(path, ObjectUrl):
        return None
    return object_link(path, options.public_base_url)


def _sha256s(targets: dict[str, Target | ObjectTarget]) -> dict[str, str]:
    return {name: target.content.sha256 for name, target in targets.items()}
