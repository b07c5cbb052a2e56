"""Real worker processes: what they refuse, survive, keep to themselves and leave behind."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from sttbatch.core.errors import MediaError, MediaHindered, MediaWorkerDied, NoAudioError
from sttbatch.core.models import AudioChunk, UploadCodec
from sttbatch.processing.media import media_worker
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.media.media_messages import SPOOL_BYTES, Source, SplitPlan
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.media.upload_format import is_plain_wav
from tests import speech
from tests.cloudru import hear
from tests.processing.conftest import Record

from .cutting import MIB, assert_says, cut, merged, plan_for


def run(spool: Path, use: Callable[[MediaWorkers], Awaitable[None]], count: int = 1) -> None:
    async def main() -> None:
        async with MediaWorkers(spool, count) as workers:
            await use(workers)

    asyncio.run(main())


def source_of(path: Path) -> Source:
    status = path.stat()
    state = status.st_size, status.st_mtime_ns, status.st_ino
    return Source(status.st_size, path=bytes(path), state=state)


async def taken(workers: MediaWorkers, source: Source, plan: SplitPlan) -> list[AudioChunk]:
    chunks = []
    async with workers.split(source, plan) as cutting:
        while (chunk := await cutting.next()) is not None:
            chunks.append(chunk)
    assert cutting.counted_s is not None
    return chunks


async def interrupted(workers: MediaWorkers, source: Source, between: Callable[[], object]) -> None:
    """Take two chunks, with something happening between them."""
    async with workers.split(source, plan_for(4.0, declared_s=14.0)) as cutting:
        assert await cutting.next() is not None
        between()
        await cutting.next()


_servers: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _know_servers() -> None:
    """Processes of tests before these, which serve the whole session."""
    _servers.clear()
    _servers.update(psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [each for each in found if each not in _servers]


def _wav(path: Path, rate: int, channels: int, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * round(rate * seconds)))


def test_a_recording_goes_through_a_worker_whole(record: Record, tmp_path: Path) -> None:
    path, truth = record("aac.m4a", words_per_sentence=2)

    async def use(workers: MediaWorkers) -> None:
        file = await workers.probe(path)
        assert (file.codec, file.sample_rate, file.channels) == ("aac", 44_100, 2)
        assert file.duration_s == pytest.approx(14.0, abs=0.05)
        assert not file.duration_is_estimate
        assert file.size_bytes == path.stat().st_size
        chunks = await taken(workers, source_of(path), plan_for(5.0, declared_s=14.0))
        assert chunks[0].upload.filename == "chunk-0000.m4a"
        heard = [word.text for c in chunks for word in hear(c.upload.open().read()).words]
        assert [text for text in heard if "~" not in text] == [word.text for word in truth]

    run(tmp_path, use)


def test_a_wav_file_is_searched_for_compressed_audio_once(record: Record, tmp_path: Path) -> None:
    plain, _ = record("pcm.wav", words_per_sentence=2)
    compressed, _ = record("no-xing.mp3", words_per_sentence=2, write_xing=False)
    labelled = tmp_path / "labelled.wav"
    with wave.open(str(labelled), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        # The first packet alone does not tell.
        file.writeframes(bytes(1 << 14) + compressed.read_bytes())

    async def use(workers: MediaWorkers) -> None:
        first = await workers.probe(plain)
        assert is_plain_wav(first)
        plan = replace(plan_for(5.0, codec=UploadCodec.FLAC), is_plain_wav=True)
        async with workers.split(source_of(plain), plan) as cutting:
            chunk = await cutting.next()
            assert chunk is not None
            # Nor do encoders and resamplers start threads.
            assert [each.num_threads() for each in children()] == [1]
        searched = cut(plain, replace(plan, is_plain_wav=False)).pieces[0]
        assert (chunk.span, chunk.audio_sha256) == (searched.span, searched.audio_sha256)
        second = await workers.probe(labelled)
        assert (second.container, second.codec, is_plain_wav(second)) == ("wav", "mp3", False)
        with pytest.raises(MediaError, match="pcm_s16le, cannot be copied"):
            await taken(workers, source_of(labelled), replace(plan_for(5.0), is_plain_wav=True))

    run(tmp_path, use)


def test_bytes_of_an_upload_can_be_cut_again(record: Record, tmp_path: Path) -> None:
    path, truth = record("pcm.wav", words_per_sentence=2)
    data = path.read_bytes()

    async def use(workers: MediaWorkers) -> None:
        plan = plan_for(5.0, codec=UploadCodec.FLAC)
        chunks = await taken(workers, Source(len(data), data=data), plan)
        heard = [word.text for c in chunks for word in hear(c.upload.open().read()).words]
        assert heard == [word.text for word in truth]

    run(tmp_path, use)


def _playlists(folder: Path) -> dict[str, Path]:
    """Files that are no recordings but would have a careless reader open one."""
    secret = folder / "secret.wav"
    _wav(secret, 16_000, 1, 1.0)
    contents = {
        "hls.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "hls.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat.mp3": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp.mp3": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 1 RTP/AVP 0\n",
        "dash.mp4": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n',
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in contents}


def test_what_is_no_recording_is_named_and_the_worker_lives_on(
    record: Record, tmp_path: Path
) -> None:
    good, _ = record("aac.m4a", words_per_sentence=2)
    empty, text, cut = tmp_path / "empty.mp3", tmp_path / "text.mp3", tmp_path / "cut.m4a"
    slow, many, fifo = tmp_path / "slow.wav", tmp_path / "many.wav", tmp_path / "fifo.mp3"
    picture = tmp_path / "folder.mp3"
    picture.mkdir()
    empty.touch()
    text.write_text("Dear all, " * 2000)
    cut.write_bytes(good.read_bytes()[:20_000])
    _wav(slow, 1, 1, 1000)
    _wav(many, 8_000, 255, 0.1)
    os.mkfifo(fifo)
    expected = {
        empty: "empty",
        text: "not a recording",
        cut: "not a recording",
        slow: "sample rate is 1 Hz",
        many: "255 channels",
        fifo: "not a regular file",
        picture: "not a regular file",
        Path("/dev/zero"): "not a regular file",
        tmp_path / "missing.mp3": "No such file",
        Path(f"concat:{good}|{good}"): "No such file",
        Path(f"file:{good}"): "No such file",
    } | dict.fromkeys(_playlists(tmp_path).values(), "not a recording")

    async def use(workers: MediaWorkers) -> None:
        for path, reason in expected.items():
            with pytest.raises(MediaError, match=reason):
                await workers.probe(path)
        (first,) = children()
        assert (await workers.probe(good)).codec == "aac"
        assert children() == [first]

    run(tmp_path, use)


def test_a_file_without_sound_is_told_apart(record: Record, tmp_path: Path) -> None:
    path, _ = record("film.mp4", video=True, words_per_sentence=2)

    async def use(workers: MediaWorkers) -> None:
        with pytest.raises(NoAudioError, match="goes up to 0"):
            await workers.probe(path, 3)

    run(tmp_path, use)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "mine.mp3"
    path.write_bytes(b"x")
    path.chmod(0)

    async def use(workers: MediaWorkers) -> None:
        with pytest.raises(MediaError, match="Permission denied"):
            await workers.probe(path)

    run(tmp_path, use)


def test_a_name_that_is_not_text(record: Record, tmp_path: Path) -> None:
    good, _ = record("aac.m4a", words_per_sentence=2)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.m4a"))
    path.write_bytes(good.read_bytes())

    async def use(workers: MediaWorkers) -> None:
        assert (await workers.probe(path)).codec == "aac"
        assert await taken(workers, source_of(path), plan_for(60.0, codec=UploadCodec.FLAC))

    run(tmp_path, use)


def test_the_lengths_of_mpeg_without_a_header_are_estimates(record: Record, tmp_path: Path) -> None:
    expected = {
        record("cbr.mp3", words_per_sentence=2)[0]: False,
        record("no-xing.mp3", words_per_sentence=2, write_xing=False)[0]: True,
        record("adts.aac", words_per_sentence=2)[0]: True,
        record("opus.ogg", words_per_sentence=2)[0]: False,
    }

    async def use(workers: MediaWorkers) -> None:
        found = {path: (await workers.probe(path)).duration_is_estimate for path in expected}
        assert found == expected

    run(tmp_path, use)


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_file_that_changes_while_it_is_cut_fails(
    when: str, record: Record, tmp_path: Path
) -> None:
    """Before any chunk of other content is taken for one of this."""
    good, _ = record("cbr.mp3", words_per_sentence=2)
    path = tmp_path / "growing.mp3"
    path.write_bytes(good.read_bytes())
    source = source_of(path)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(good.read_bytes())

    async def use(workers: MediaWorkers) -> None:
        if when == "before":
            grow()
        with pytest.raises(MediaError, match="changed while it was read"):
            await interrupted(workers, source, grow)
        assert await taken(workers, source_of(good), plan_for(60.0))

    run(tmp_path, use)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "killed"),
        pytest.param(signal.SIGXCPU, "CPU time", marks=pytest.mark.slow),
        pytest.param(signal.SIGSEGV, "crashed .SIGSEGV", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_dies_fails_its_recording_only(
    number: signal.Signals, reason: str, record: Record, tmp_path: Path
) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)
    plan = plan_for(4.0, declared_s=14.0)

    async def use(workers: MediaWorkers) -> None:
        with pytest.raises(MediaWorkerDied, match=reason):
            await interrupted(workers, source_of(path), lambda: children()[0].send_signal(number))
        assert len(await taken(workers, source_of(path), plan)) >= 3
        (worker,) = children()
        worker.kill()
        # Dead while nobody asked anything: whoever asks next learns of it.
        with pytest.raises(MediaWorkerDied):
            await workers.probe(path)
        assert (await workers.probe(path)).codec == "mp3"

    run(tmp_path, use)
    assert children() == []


def test_two_recordings_are_cut_at_once(record: Record, tmp_path: Path) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)

    async def use(workers: MediaWorkers) -> None:
        plan = plan_for(4.0, declared_s=14.0)
        await workers.probe(path)
        assert len(children()) == 1
        async with (
            workers.split(source_of(path), plan) as one,
            workers.split(source_of(path), plan) as two,
        ):
            first, second = await asyncio.gather(one.next(), two.next())
            assert len(children()) == 2
        assert first is not None
        assert second is not None
        assert first.audio_sha256 == second.audio_sha256

    run(tmp_path, use, count=2)


def test_a_worker_ends_when_its_parent_is_killed(record: Record, tmp_path: Path) -> None:
    """kill -9 leaves no process behind, busy or not."""
    path, _ = record("cbr.mp3", words_per_sentence=2)
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from sttbatch.processing.media.media_workers import MediaWorkers
        async def main():
            workers = MediaWorkers(Path({str(tmp_path)!r}), 2)
            path = Path({str(path)!r})
            await asyncio.gather(workers.probe(path), workers.probe(path))
            print("ready", flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_secrets_stay_out_of_the_workers_environment(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)
    monkeypatch.setenv("CLOUDRU_API_KEY", "sesame")
    monkeypatch.setenv("STTBATCH_BASE_URL", "https://example.invalid")

    async def use(workers: MediaWorkers) -> None:
        await workers.probe(path)
        (worker,) = children()
        environment = worker.environ()
        assert "PATH" in environment
        assert not [name for name in environment if name.startswith(("CLOUDRU", "STTBATCH"))]

    run(tmp_path, use)


def test_a_folder_of_recordings_cannot_slip_code_into_a_worker(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)
    (tmp_path / "av.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)

    async def use(workers: MediaWorkers) -> None:
        assert (await workers.probe(path)).codec == "mp3"

    run(tmp_path, use)


def test_memory_has_a_limit(record: Record, tmp_path: Path) -> None:
    """A recording that outgrows it fails with that reason, and the worker goes on."""
    path, _ = record("cbr.mp3", words_per_sentence=2)
    long = tmp_path / "long.wav"
    _wav(long, 48_000, 1, 1500)

    async def use(workers: MediaWorkers) -> None:
        await workers.probe(path)
        (worker,) = children()
        soft, hard = worker.rlimit(psutil.RLIMIT_AS)
        assert soft == 1 << 30
        tight = worker.memory_info().vms + 24 * MIB
        worker.rlimit(psutil.RLIMIT_AS, (tight, hard))
        plan = SplitPlan(1500.0, 500 * MIB, UploadCodec.WAV, 1500.0)
        with pytest.raises(MediaError, match=r"needs more than|cannot be"):
            await taken(workers, source_of(long), plan)

    run(tmp_path, use)


@pytest.mark.parametrize("library", [msgspec._core.__file__, __file__])
def test_a_build_of_pyav_without_its_libraries_beside_it_does_as_well(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linked into the interpreter, say: the function is not there, or no library is."""
    monkeypatch.setattr("av.logging.__file__", library)
    media_worker._count_one_cpu()


@pytest.mark.parametrize("hard_s", ["unlimited", pytest.param("1", marks=pytest.mark.slow)])
def test_cpu_time_has_a_limit(hard_s: str) -> None:
    """One answer may not take for ever, and a lower limit of the shell's is no error."""
    program = textwrap.dedent("""
        from sttbatch.processing.media import media_worker
        media_worker.CPU_BASE_S = 0
        media_worker._allow(0)
        while True:
            pass
    """)

    def limit() -> None:
        if hard_s != "unlimited":
            resource.setrlimit(resource.RLIMIT_CPU, (int(hard_s), int(hard_s)))

    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        preexec_fn=limit,
        stderr=subprocess.DEVNULL,
        timeout=30,
    )
    assert -done.returncode in {signal.SIGXCPU, signal.SIGKILL}


def test_a_long_search_for_speech_is_allowed_the_cpu_time_that_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    speech.write(path, speech.noise(60.0, 0.001))

    async def use(workers: MediaWorkers) -> None:
        await workers.measure(source_of(path), [], [Span(0.0, 60.0)])
        (worker,) = children()
        limit, _ = worker.rlimit(psutil.RLIMIT_CPU)
        file_s = media_worker.CPU_BASE_S + media_worker.CPU_PER_MIB_S * (path.stat().st_size >> 20)
        assert limit >= file_s + 60 * media_worker.CPU_PER_SEARCHED_S

    run(tmp_path, use)


def test_large_chunks_travel_through_the_spool_folder(tmp_path: Path) -> None:
    """Whoever takes one removes it; small ones never touch the disk."""
    path, spool = tmp_path / "long.wav", tmp_path / "spool"
    spool.mkdir()
    _wav(path, 16_000, 1, 60)

    async def use(workers: MediaWorkers) -> None:
        plan = plan_for(40.0, codec=UploadCodec.WAV)
        large, small = await taken(workers, source_of(path), plan)
        if large.upload.size_bytes < small.upload.size_bytes:
            large, small = small, large
        assert small.upload.path is None
        assert large.upload.path is not None
        assert large.upload.data is None
        with large.upload.open() as file:
            data = file.read()
        assert large.upload.size_bytes == len(data) > SPOOL_BYTES
        assert data[:4] == b"RIFF"
        assert [Path(large.upload.path)] == list(spool.iterdir())
        large.upload.discard()
        large.upload.discard()
        assert list(spool.iterdir()) == []
        spool.rmdir()
        with pytest.raises(MediaHindered, match="cannot be stored"):
            await taken(workers, source_of(path), plan)

    run(spool, use)


def test_what_comes_out_of_a_worker_merges(record: Record, tmp_path: Path) -> None:
    path, truth = record("cbr.mp3", sentence_pause_s=0.1)

    async def use(workers: MediaWorkers) -> None:
        chunks = await taken(workers, source_of(path), plan_for(5.0, declared_s=14.0))
        assert_says(merged(chunks), truth)

    run(tmp_path, use)


def test_cancelling_a_question_does_not_confuse_the_next(record: Record, tmp_path: Path) -> None:
    """A half-read answer is never taken for another one's."""
    path, _ = record("cbr.mp3", words_per_sentence=2)
    other, _ = record("aac.m4a", words_per_sentence=2)

    async def use(workers: MediaWorkers) -> None:
        for wait_s in (0.0, 0.005, 0.3):
            asking = asyncio.create_task(workers.probe(path))
            await asyncio.sleep(wait_s)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert (await workers.probe(other)).codec == "aac"

    run(tmp_path, use)
    assert children() == []


def test_the_most_urgent_recording_is_cut_first_beside_a_long_one(
    record: Record, tmp_path: Path
) -> None:
    path, _ = record("talk.mp3", duration_s=4.0)
    begun: list[str] = []
    may_end = {name: asyncio.Event() for name in ("long", "low", "middle", "urgent")}

    async def cut(workers: MediaWorkers, name: str, urgency: int) -> None:
        plan = plan_for(4.0, declared_s=4.0)
        async with workers.split(source_of(path), plan, urgency=urgency):
            begun.append(name)
            await may_end[name].wait()

    async def until_begun(count: int) -> None:
        async with asyncio.timeout(30):
            while len(begun) < count:  # noqa: ASYNC110 - a process tells of it
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with MediaWorkers(tmp_path, 1, spare=True) as workers, asyncio.TaskGroup() as cuts:
            cuts.create_task(cut(workers, "long", 1))
            await until_begun(1)
            for name, urgency in (("low", 1), ("middle", 2), ("urgent", 3)):
                cuts.create_task(cut(workers, name, urgency))
            await until_begun(2)
            may_end["long"].set()
            await until_begun(3)
            for name in ("middle", "urgent", "low"):
                may_end[name].set()

    asyncio.run(main())
    # The spare one is for what is more urgent than all others.
    assert begun == ["long", "middle", "urgent", "low"]
