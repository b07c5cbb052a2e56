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

from sttbatch.core.locations import OBJECT_SCHEME
from sttbatch.core.ports import SearchIndex, TranscriptSource
from sttbatch.core.search import ExaminedOutput, KnownOutput
from sttbatch.outputs.edited_text import READABLE_FORMATS
from sttbatch.outputs.output_registry import state_of

_OBJECT = OBJECT_SCHEME.encode()
_LARGEST_BYTES = 1 << 26
"""A larger file is no transcript."""


class EditedOutput(Struct, frozen=True):
    """An output with edited text; `id` names its path and the state of its file."""

    path: bytes
    format: str
    id: str

    def read(self) -> bytes | None:
        """Its bytes; None: it cannot be read."""
        return _read(self.path)


async def edited_outputs(source: TranscriptSource, index: SearchIndex) -> dict[str, EditedOutput]:
    """By content hash of the recording, the output that was edited last.

    Outputs in buckets are not looked at, as each look would be a request.
    """
    written = await source.output_states(READABLE_FORMATS)
    states = await asyncio.to_thread(_changed, written)
    outputs = await source.outputs(list(states)) if states else []
    known = await index.examined()
    changed = await asyncio.to_thread(_examined, outputs, states, known)
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
            latest[sha256] = at, EditedOutput(output.path, output.format, name)
    return {sha256: output for sha256, (_, output) in latest.items()}


def _changed(written: Sequence[tuple[bytes, str | None]]) -> dict[bytes, str]:
    """The states of files that are not in the one in which they were written."""
    found = ((path, state_of(path), state) for path, state in written if path[:5] != _OBJECT)
    return {path: now for path, now, state in found if now is not None and now != state}


def _examined(
    outputs: Sequence[KnownOutput],
    states: Mapping[bytes, str],
    known: Mapping[bytes, ExaminedOutput],
) -> dict[bytes, ExaminedOutput]:
    """What is known of `outputs`, whose files are in these states by now."""
    changed = {}
    for output in outputs:
        state = states[output.path]
        earlier = known.get(output.path)
        if earlier is None or earlier.file_state != state:
            data = _read(output.path)
            is_edited = data is not None and hashlib.sha256(data).hexdigest() not in output.sha256s
            earlier = ExaminedOutput(output.path, state, is_edited)
        changed[output.path] = earlier
    return changed


def _read(path: bytes) -> bytes | None:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
            return None
        return Path(os.fsdecode(path)).read_bytes()
    except OSError:
        return None


def _by_real_path(contents: Sequence[tuple[bytes, str]]) -> dict[bytes, str]:
    """Content hashes by paths without symbolic links, as outputs name their recordings."""
    real = functools.cache(os.path.realpath)
    return {
        os.path.join(real(os.path.dirname(path)), os.path.basename(path)): sha256
        for path, sha256 in contents
    }


def _modified_at(state: str) -> int:
    return int(state.split()[1])
