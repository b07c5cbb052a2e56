"""Outputs that are as they were written, recognized without opening any file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sttbatch.core.file_records import OutputState
from sttbatch.core.options import OutputOptions
from sttbatch.core.ports import OutputStore

if TYPE_CHECKING:
    from sttbatch.outputs.output_names import OutputLocation, OutputPlan

OUTPUTS_VERSION = 1
"""A better formatter must not be hidden by what an older one wrote."""


class IntactOutputs(NamedTuple):
    """Outputs that are as they should be; `names` in the order of the formats asked for."""

    names: tuple[str, ...]
    audio_s: float


def made_from(transcript_key: str, display_path: str, options: OutputOptions) -> str:
    """Stands for everything that decides an output's bytes: 32 hexadecimal digits."""
    layout = f"{options.words} {options.max_line_width} {options.max_lines} {OUTPUTS_VERSION}"
    facts = f"{transcript_key}\0{layout}\0{display_path}"
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class WrittenOutputs:
    """What outputs were made from, and how their files looked then."""

    def __init__(self, store: OutputStore) -> None:
        self._store = store

    async def remember(
        self, plan: OutputPlan, paths: Sequence[Path], made_from: str, audio_s: float
    ) -> None:
        """`paths` hold what they should."""
        states = []
        for path in paths:
            # Where somebody took it away again, the next run has something to do.
            file_state = _state_of(path)
            if file_state is not None:
                name = path.suffix[1:]
                states.append(
                    OutputState(plan.key(name), plan.source, name, made_from, file_state, audio_s)
                )
        await self._store.remember_states(states)

    async def intact(
        self, expected: Iterable[tuple[OutputLocation, str]], formats: Sequence[str]
    ) -> dict[bytes, IntactOutputs]:
        """By source, those whose outputs in all `formats` are as they were left.

        `expected` says where outputs belong, and what they should be `made_from`.
        """
        by_source = {location.source: (location.target, origin) for location, origin in expected}
        intact: dict[bytes, dict[str, tuple[bytes, float]]] = {}
        for path, source, format_name, origin, file_state, audio_s in await self._store.states(
            list(by_source)
        ):
            folder, expected_origin = by_source[source]
            name = path.removeprefix(folder)
            if (
                origin == expected_origin
                and name != path
                and b"/" not in name
                and audio_s is not None
                and file_state is not None
                and file_state == _state_of(path)
            ):
                intact.setdefault(source, {})[format_name] = name, audio_s
        chosen = {source: _chosen(outputs, formats) for source, outputs in intact.items()}
        return {source: outputs for source, outputs in chosen.items() if outputs is not None}


def _chosen(
    outputs: Mapping[str, tuple[bytes, float]], formats: Sequence[str]
) -> IntactOutputs | None:
    """Outputs by format, as (name, seconds of audio), if all are there and belong together."""
    try:
        chosen = [outputs[name] for name in formats]
    except KeyError:
        return None
    if len({name.rpartition(b".")[0] for name, _ in chosen}) != 1:
        return None
    return IntactOutputs(tuple([os.fsdecode(name) for name, _ in chosen]), chosen[0][1])


def _state_of(path: Path | bytes) -> str | None:
    """A file's size, times and inode; None: it is not there."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
