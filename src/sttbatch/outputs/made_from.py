"""What outputs were made from, as a digest by which unchanged ones are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from sttbatch.core.models import Hallucinations
from sttbatch.core.options import OutputOptions

OUTPUTS_VERSION = 2
"""To be raised when formatters change, so that existing outputs are rewritten."""


@lru_cache(8)
def _digest(rules: str) -> str:
    return hashlib.sha256(rules.encode()).hexdigest()


def made_from(
    transcript_key: str,
    display_path: str,
    options: OutputOptions,
    names: Mapping[str, str] = {},
    date: str | None = None,
) -> str:
    """A digest of everything that decides an output's bytes: 32 hexadecimal digits.

    `names` are those of the recording's speakers, `date` as in `Document`.
    """
    layout = f"{options.words} {options.max_line_width} {options.max_lines} {OUTPUTS_VERSION}"
    if options.hallucinations is not Hallucinations.DROP:
        layout += f" {options.hallucinations}"
    if options.public_base_url is not None:
        layout += f" {options.public_base_url}"
    if options.timestamps:
        layout += " timestamps"
    if options.embed_audio:
        layout += " embedded"
    if options.rules:
        layout += f" rules {_digest(options.rules)}"
    if names:
        layout += f" names {sorted(names.items())}"
    if date is not None:
        layout += f" {date}"
    facts = f"{transcript_key}\0{layout}\0{display_path}"
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:32]
