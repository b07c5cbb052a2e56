"""What the user chose for one run."""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.core.models import ConcurrencyLimit
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions, RunOptions


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The effective options of one run, by the room that they are for."""

    request: RequestOptions
    chunking: ChunkingOptions
    outputs: OutputOptions
    run: RunOptions
    concurrency: ConcurrencyLimit
