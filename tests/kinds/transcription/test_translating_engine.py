"""`--task translate`: what the engine translates is beside the transcript, in outputs and keys."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.errors import UsageError
from sttbatch.core.models import Upload
from sttbatch.core.options import OutputOptions, RequestOptions, Task
from sttbatch.database.search_source import SqlTranscriptSource
from sttbatch.kinds.transcription.spec import TranscriptionSpec
from sttbatch.processing.discovery import discover
from tests.cloudru import make_recording
from tests.shell import load, texts

from .harness import CONFIG, REQUEST, FakeEngine, opened

TRANSLATE = replace(REQUEST, task=Task.TRANSLATE)
TRANSLATING = replace(
    CONFIG, request=TRANSLATE, outputs=OutputOptions(formats=("en.txt", "en.json"))
)
LOCAL = Settings(engine="local", model="small", formats=["txt", "json"])


@dataclass
class TranslatingEngine(FakeEngine):
    """Says of each word in which language it was spoken."""

    asked: list[RequestOptions] = field(default_factory=list)

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        self.asked.append(options)
        answer = await super().transcribe(upload, REQUEST, record, stopped)
        if options.task is Task.TRANSCRIBE:
            return answer
        return replace(answer, transcription=replace(answer.transcription, source_language="ru"))


def test_a_translation_is_written_beside_the_transcript_and_kept_like_one(tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    truth = make_recording(talk, duration_s=6, sample_rate=8_000, channels=1)
    engine = TranslatingEngine()
    transcribing = replace(CONFIG, outputs=OutputOptions(formats=("txt", "json")))

    async def run() -> None:
        searched = []
        for config in (TRANSLATING, transcribing, TRANSLATING):
            async with opened(tmp_path, engine, config=config) as harness:
                await harness.transcribe(talk)
                source = SqlTranscriptSource(harness.database)
                searched.append(len(await source.stored()))
        assert searched == [0, 1, 1], "a translation is no transcript of what was spoken"

    asyncio.run(run())
    assert [options.task for options in engine.asked] == [Task.TRANSLATE, Task.TRANSCRIBE]
    assert sorted(path.name for path in tmp_path.glob("talk.*")) == [
        "talk.en.json", "talk.en.txt", "talk.json", "talk.txt", "talk.wav",
    ]  # fmt: skip
    translated, spoken = load(tmp_path / "talk.en.json"), load(tmp_path / "talk.json")
    wanted = {"task": "translate", "language": "en", "source_language": "ru"}
    assert wanted.items() <= translated.items()
    assert not {"task", "source_language"} & spoken.keys()
    assert translated["text"].split() == texts(truth)


def test_its_results_have_keys_of_their_own() -> None:
    ours, others = (ContentAddresser(each) for each in (TRANSLATE, REQUEST))
    assert ours.transcript_key("f" * 64, 0, 1).startswith("translated:")
    assert ours.chunk_key("a" * 64) != others.chunk_key("a" * 64)
    assert ours.job_sha256 != others.job_sha256


def test_a_jobs_row_says_so_and_of_others_what_it_said_before(tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    talk.write_bytes(b"sound")
    (candidate,) = discover([talk]).candidates
    for config, asked in ((TRANSLATING, {"task": "translate"}), (CONFIG, {})):
        spec = TranscriptionSpec.of(candidate, "ab" * 32, 60.0, config)
        row = spec.to_job_spec()
        request = row.payload["request"]
        assert {name: request[name] for name in request.keys() & {"task"}} == asked
        assert TranscriptionSpec.from_job_spec(row) == spec


def test_who_asks_for_what_cannot_be_done_is_told() -> None:
    translate = RunFlags(task=Task.TRANSLATE)
    config = run_config_of(LOCAL, translate)
    assert (config.request.task, config.outputs.formats) == (
        Task.TRANSLATE,
        ("en.txt", "en.json"),
    )
    assert run_config_of(LOCAL, translate, to_stdout=True).outputs.formats == ()
    for settings, reason in (
        (replace(LOCAL, engine="cloudru"), "no translations; `sttbatch translate` does it"),
        (replace(LOCAL, model=None), "tiny.en knows English only"),
        (replace(LOCAL, model="./base.en"), "base.en knows English only"),
    ):
        with pytest.raises(UsageError, match=reason):
            run_config_of(settings, translate)
