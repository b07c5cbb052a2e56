"""Finds outputs whose text was edited, without reading those that are as they were written."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sttbatch.core.errors import SttbatchError
from sttbatch.core.locations import OBJECT_SCHEME, ObjectUrl
from sttbatch.core.ports import Objects, SearchIndex, TranscriptSource
from sttbatch.core.search import ExaminedOutput, KnownOutput
from sttbatch.outputs.edited_text import READABLE_FORMATS
from sttbatch.outputs.object_files import listed_objects, object_state
from sttbatch.outputs.output_registry import state_of

_OBJECT = OBJECT_SCHEME.encode()
_LARGEST_BYTES = 1 << 26
"""A larger file is no transcript."""


class EditedOutput(Struct, frozen=True):
    """An output with edited text; `id` names its path and the state of its file."""

    path: bytes
    format: str
    id: str
    objects: Objects | None = None

    def read(self) -> bytes | None:
        """Its bytes; None: it cannot be read."""
        return _read(self.path, self.objects)


async def edited_outputs(
    source: TranscriptSource, index: SearchIndex, objects: Objects | None = None
) -> dict[str, EditedOutput]:
    """By content hash of the recording, the output that was edited last.

    Outputs in buckets are looked at if there are `objects`; while these do not answer, what was
    known of them remains.
    """
    written = await source.output_states(READABLE_FORMATS)
    known = await index.examined()
    states = await asyncio.to_thread(_changed, written)
    in_buckets = {path: state for path, state in written if path[:5] == _OBJECT}
    if in_buckets and objects is not None:
        states |= await asyncio.to_thread(_changed_objects, in_buckets, objects, known)
    outputs = await source.outputs(list(states)) if states else []
    changed = await asyncio.to_thread(_examined, outputs, states, known, objects)
    if changed != known:
        await index.examine(list(changed.values()))
    edited = [each for each in outputs if each.path in changed and changed[each.path].is_edited]
    if not edited:
        return {}
    contents = _by_real_path(await source.contents())
    latest: dict[str, tuple[int, EditedOutput]] = {}
    for output in edited:
        sha256 = contents.get(output.source)
        state = changed[output.path].file_state
        if sha256 is not None and latest.get(sha256, (-1,))[0] < (at := _modified_at(state)):
            name = hashlib.sha256(output.path + b"\0" + state.encode()).hexdigest()[:32]
            latest[sha256] = at, EditedOutput(output.path, output.format, name, objects)
    return {sha256: output for sha256, (_, output) in latest.items()}


def _changed(written: Sequence[tuple[bytes, str | None]]) -> dict[bytes, str]:
    """The states of files that are not in the one in which they were written."""
    found = ((path, state_of(path), state) for path, state in written if path[:5] != _OBJECT)
    return {path: now for path, now, state in found if now is not None and now != state}


def _changed_objects(
    written: Mapping[bytes, str | None], objects: Objects, known: Mapping[bytes, ExaminedOutput]
) -> dict[bytes, str]:
    """As `_changed`, by their ETags: listings and single looks round times differently."""
    urls = [ObjectUrl(os.fsdecode(path)) for path in written]
    try:
        found = listed_objects(objects(), urls)
    except SttbatchError:
        return {path: each.file_state for path, each in known.items() if path in written}
    states = ((path, object_state(facts)) for path, facts in found.items())
    return {
        path: state
        for path, state in states
        if state is not None and _content_of(state) != _content_of(written[path] or "")
    }


def _content_of(state: str) -> list[str]:
    """The size and the ETag in the state of an object."""
    return state.split(" ", 2)[::2]


def _examined(
    outputs: Sequence[KnownOutput],
    states: Mapping[bytes, str],
    known: Mapping[bytes, ExaminedOutput],
    objects: Objects | None,
) -> dict[bytes, ExaminedOutput]:
    """What is known of `outputs`, whose files are in these states by now."""
    changed = {}
    for output in outputs:
        state = states[output.path]
        earlier = known.get(output.path)
        if earlier is None or earlier.file_state != state:
            data = _read(output.path, objects)
            is_edited = data is not None and hashlib.sha256(data).hexdigest() not in output.sha256s
            earlier = ExaminedOutput(output.path, state, is_edited)
        changed[output.path] = earlier
    return changed


def _read(path: bytes, objects: Objects | None) -> bytes | None:
    if path[:5] == _OBJECT:
        return None if objects is None else _read_object(path, objects)
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
            return None
        return Path(os.fsdecode(path)).read_bytes()
    except OSError:
        return None


def _read_object(path: bytes, objects: Objects) -> bytes | None:
    try:
        store = objects()
        facts = store.facts(ObjectUrl(os.fsdecode(path)))
        is_text = facts is not None and facts.size_bytes <= _LARGEST_BYTES
        return store.read(facts) if facts is not None and is_text else None
    except SttbatchError:
        return None


def _by_real_path(contents: Sequence[tuple[bytes, str]]) -> dict[bytes, str]:
    """Content hashes by paths without symbolic links, as outputs name their recordings."""
    real = functools.cache(os.path.realpath)
    return {
        path
        if path[:5] == _OBJECT
        else os.path.join(real(os.path.dirname(path)), os.path.basename(path)): sha256
        for path, sha256 in contents
    }


def _modified_at(state: str) -> int:
    return int(state.split()[1])
