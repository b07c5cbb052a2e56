"""A queued job says all that whoever runs it needs to know."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import MediaError, UsageError
from sttbatch.core.jobs import TRANSCRIPTION, JobSpec
from sttbatch.core.models import ChannelMode, ConcurrencyLimit, UploadCodec
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions, RunOptions
from sttbatch.core.work import AUDIO_SECONDS, Usage
from sttbatch.kinds.registry import job_kind
from sttbatch.kinds.transcription.spec import RunConfig, TranscriptionSpec
from sttbatch.processing.discovery import Candidate
from tests.cloudru import make_recording

from .harness import REQUEST, FakeEngine, opened

LANES = ConcurrencyLimit(3)
CONFIG = RunConfig(
    RequestOptions("cloudru", "https://endpoint", "whisper", "en", "Names: Ada.", 0.2),
    ChunkingOptions(120.0, 1_000_000, UploadCodec.OPUS, 2, ChannelMode.SPLIT),
    OutputOptions(("srt", "json"), Path("/out"), True, 30, 1, True, embed_audio=True),
    RunOptions(price_per_second=0.5, audit=False, audit_share=0.1),
    LANES,
)


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    """A recording below the folder that it is given in, under a name that is not UTF-8."""
    path = tmp_path / "talks" / "sp\udcffch.mp3"
    path.parent.mkdir()
    path.write_bytes(b"sound")
    monkeypatch.chdir(tmp_path)
    return Candidate("talks/sp\udcffch.mp3", "talks", True, path.stat())


def through_the_ledger(spec: TranscriptionSpec) -> TranscriptionSpec:
    job = JobSpec.from_json(TRANSCRIPTION, spec.to_job_spec().to_json())
    return TranscriptionSpec.from_job_spec(job)


def test_a_run_can_be_made_again_from_what_was_queued(candidate: Candidate) -> None:
    spec = TranscriptionSpec.of(candidate, "ab" * 32, 60.0, CONFIG)
    assert through_the_ledger(spec) == spec
    assert through_the_ledger(spec).run_config(CONFIG) == CONFIG
    assert through_the_ledger(spec).candidate() == candidate
    job = spec.to_job_spec()
    assert (job.title, job.usage.quantity) == (candidate.display_path, 60.0)


@pytest.mark.parametrize("directory", [None, Path("out")])
def test_it_can_be_run_from_another_folder(
    candidate: Candidate, directory: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = replace(CONFIG.outputs, directory=directory)
    config = replace(CONFIG, outputs=outputs)
    spec = through_the_ledger(TranscriptionSpec.of(candidate, "ab" * 32, 60.0, config))
    monkeypatch.chdir("/")
    found = spec.candidate()
    assert found.path == tmp_path / "talks" / "sp\udcffch.mp3"
    assert found.root == str(tmp_path / "talks")
    absolute = tmp_path / "out" if directory is not None else None
    assert spec.run_config(CONFIG).outputs.directory == absolute


def test_a_recording_that_is_gone_is_said_to_be(candidate: Candidate) -> None:
    spec = TranscriptionSpec.of(candidate, "ab" * 32, 60.0, CONFIG)
    Path(candidate.path).unlink()
    with pytest.raises(MediaError, match="No such file"):
        spec.candidate()


@pytest.mark.parametrize(("version", "words"), [(1, "transcribe` over a.mp3"), (3, "upgrade")])
def test_what_another_version_queued_is_not_run(version: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TranscriptionSpec.from_job_spec(JobSpec(TRANSCRIPTION, version, {"recording": "a.mp3"}))


@pytest.mark.parametrize("name", ["recording", "sha256", "request", "chunking", "outputs"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_damaged_row_says_what_to_do(candidate: Candidate, name: str, is_there: bool) -> None:
    payload = dict(TranscriptionSpec.of(candidate, "ab" * 32, 60.0, CONFIG).to_job_spec().payload)
    payload[name] = 7
    if not is_there:
        del payload[name]
    with pytest.raises(UsageError, match=r"damaged .*run `sttbatch transcribe` over .* again"):
        TranscriptionSpec.from_job_spec(JobSpec(TRANSCRIPTION, 2, payload))


@pytest.mark.parametrize("audit", [True, False])
def test_a_jobs_row_says_under_which_key_its_transcript_is_stored_and_what_it_takes(
    tmp_path: Path, audit: bool
) -> None:
    config = replace(
        CONFIG,
        request=REQUEST,
        chunking=ChunkingOptions(channels=ChannelMode.SPLIT),
        run=RunOptions(audit=audit),
        outputs=OutputOptions(("txt",)),
    )
    recording = tmp_path / "both.wav"
    make_recording(recording, duration_s=4, channels=2)

    async def run() -> None:
        async with opened(tmp_path, FakeEngine(), config=config) as harness:
            await harness.transcribe(recording)
            [job] = await harness.queue.jobs.list()
            kind = job_kind(job.spec.kind)
            key = kind.key(job.spec)
            assert key is not None
            assert await harness.results.transcript(key) is not None
            # Of one channel: how many there are is known once it is probed.
            assert kind.estimate(job.spec) == Usage(AUDIO_SECONDS, 4.0)

    asyncio.run(run())
