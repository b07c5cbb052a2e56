"""Recipes: what documents are made of, stored beside their outputs to make them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.file_records import OutputRecipe
from sttbatch.core.models import Transcript
from sttbatch.core.options import OutputOptions, Task
from sttbatch.outputs.document import Document
from sttbatch.outputs.replacements import with_rules
from sttbatch.outputs.speaker_names import with_names


class Recipe(Struct, frozen=True):
    """Everything of a document but its transcript and the names; the fields are those of it."""

    source: str
    sha256: str
    model: str
    engine: str
    options: OutputOptions
    task: Task = Task.TRANSCRIBE
    date: str | None = None

    def document(
        self, transcript: Transcript, names: Mapping[str, str], file: Path | None = None
    ) -> Document:
        """The document of a transcript as it is stored, with the rules and `names` applied.

        `file` as in `Document`.
        """
        shown, replacements = with_rules(transcript, self.options.rules)
        return Document(
            self.source,
            self.sha256,
            self.model,
            self.engine,
            with_names(shown, names),
            self.options,
            task=self.task,
            file=file,
            replacements=replacements,
            names=names,
            date=self.date,
        )


def stored_recipe(document: Document, transcript_key: str) -> OutputRecipe:
    """How outputs of a document are made again at the same place."""
    values: dict[str, Any] = msgspec.to_builtins(
        Recipe(
            document.source,
            document.sha256,
            document.model,
            document.engine,
            replace(document.options, formats=(), directory=None, overwrite=False, rules=""),
            document.task,
            document.date,
        )
    )
    # In ASCII, as databases reject lone surrogates.
    return OutputRecipe(transcript_key, json.dumps(values), document.options.rules)


def recipe_of(stored: OutputRecipe, formats: tuple[str, ...]) -> Recipe:
    """The recipe for outputs in these formats."""
    recipe = msgspec.convert(json.loads(stored.text), Recipe)
    options = replace(recipe.options, formats=formats, rules=stored.rules)
    return replace(recipe, options=options)
