"""The schema of the json output says all that is in it, whatever options made it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from msgspec.structs import replace

from sttbatch.core.models import (
    ChunkSummary,
    DroppedSegment,
    Evidence,
    Gap,
    GapReason,
    Hallucinations,
    Segment,
)
from sttbatch.core.options import Task
from sttbatch.kinds.language.spoken_text import SpokenText
from sttbatch.kinds.translation.task import TranslationTask
from sttbatch.kinds.translation.translator import Translation, TranslationOptions
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.replacements import Replacement
from sttbatch.outputs.speaker_names import with_names
from tests.outputs.examples import HELLO, document
from tests.schemas import check, fields_of, names_in, schema

NAMES = {"1": "Anna"}


def whole(**options: Any) -> Document:
    """A document with all that one may have."""
    made = document(
        [replace(each, speaker=str(number)) for number, each in enumerate(HELLO, 1)],
        [Gap(3.0, 4.0, reason, "why", channel) for channel, reason in enumerate(GapReason)],
        **options,
    )
    transcript = replace(
        made.transcript,
        chunks=tuple(
            ChunkSummary(number, 0.0, 4.0, bool(number), status, number)
            for number, status in enumerate(("ok", "no_speech", "failed"))
        ),
        dropped=(DroppedSegment(Segment("Bye.", 4.0, 5.0), tuple(Evidence)),),
    )
    return replace(
        made,
        transcript=with_names(transcript, NAMES),
        url="https://bucket.example/talk.json",
        names=NAMES,
        replacements=(Replacement("werld", "world", 1),),
    )


def translated(task: Task, language: str | None) -> Document:
    made = document()
    spoken = replace(made.transcript, source_language=language or "")
    return replace(made, task=task, transcript=spoken)


def translation() -> bytes:
    made = document(formats=("de.json",))
    result = Translation(texts={1: "Hallo, Welt."}, kept=(2,))
    task = TranslationTask(TranslationOptions("model", "de"))
    text = SpokenText(made.sha256, made.transcript)
    return b"".join(task.contents("talk.mp3", text, result, made.options)["de.json"])


def variants() -> list[dict[str, Any]]:
    documents = [
        document(),
        document([]),
        replace(document(), transcript=replace(document().transcript, language=None)),
        document(words=True),
        whole(words=True),
        *(whole(hallucinations=each) for each in Hallucinations),
        translated(Task.TRANSLATE, "ru"),
        translated(Task.TRANSLATE, None),
    ]
    written = [b"".join(FORMATS["json"](each)) for each in documents] + [translation()]
    return [json.loads(each) for each in written]


def test_every_json_output_is_of_its_schema() -> None:
    for each in variants():
        check("transcript", each)


def test_the_schema_has_no_field_that_no_output_has() -> None:
    written = set().union(*map(names_in, variants()))
    assert fields_of(schema("transcript")) == written.difference(NAMES)


@pytest.mark.parametrize("name", ["transcript", "stats"])
def test_schemas_are_valid(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    with pytest.raises(ValidationError):
        check(name, {})
