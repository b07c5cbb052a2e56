"""The Python API does what the command line does; the page's examples are run as they stand."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sttbatch
from sttbatch.composition import client as client_module
from tests.cloudru import CloudRu, Hang, Received, make_recording
from tests.object_server import ObjectServer
from tests.shell import Shell

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def spoken(new_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Recordings in `talks`, by name what they say; this process is as the command line has it."""
    for name, value in new_shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(new_shell.home / "cache"))
    monkeypatch.chdir(new_shell.home)
    Path("talks").mkdir()
    words = {}
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        truth = make_recording(
            Path("talks", name), duration_s=4.0 + number, first_word=100 * number
        )
        words[name] = " ".join(word.text for word in truth)
    return words


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_page(
    spoken: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = examples()
    exec(first, {})
    *lines, cost = capsys.readouterr().out.splitlines()
    assert sorted(lines) == [f"talks/{name} done {text}" for name, text in spoken.items()]
    assert float(cost) > 0
    names: dict[str, Any] = {}
    exec(second, names)
    assert sorted(asyncio.run(names["transcribe_all"]())) == sorted(spoken.values())
    assert capsys.readouterr().out == ""
    exec(third, names)
    assert asyncio.run(names["first_text"]()) in spoken.values()
    assert (Path("transcripts") / "a.srt").is_file()


def test_results_come_while_others_are_sent(spoken: dict[str, str], cloudru: CloudRu) -> None:
    held = threading.Event()

    def hold_the_second(post: Received) -> None:
        if post.number == 1:
            cloudru.hold()
            held.set()

    cloudru.faults = hold_the_second
    client = sttbatch.Client(concurrency=1)
    results = iter(client.transcribe("talks"))
    first = next(results)
    assert first.outcome == "done"
    assert first.text == spoken[first.path.name]
    # Otherwise it could be held after it was resumed.
    assert held.wait(60)
    cloudru.resume()
    assert sorted(result.path.name for result in results) == sorted({*spoken} - {first.path.name})


def test_leaving_the_loop_stores_what_is_in_flight(
    spoken: dict[str, str], cloudru: CloudRu
) -> None:
    client = sttbatch.Client(concurrency=1)
    for _ in client.transcribe("talks"):
        break
    sent = len(cloudru.received)
    results = list(client.transcribe("talks"))
    assert {result.text for result in results} == set(spoken.values())
    assert len(cloudru.received) == len(spoken)
    assert sum(result.cached for result in results) == sent


def test_what_concerns_all_recordings_is_raised(spoken: dict[str, str]) -> None:
    results: list[sttbatch.RecordingResult] = []
    with pytest.raises(sttbatch.SttbatchError, match="--max-cost 0"):
        results.extend(sttbatch.Client().transcribe("talks", max_cost=0))
    assert [(result.outcome, result.transcript) for result in results] == [("left", None)] * 3


def test_a_wrong_setting_or_path_is_said_at_once(spoken: dict[str, str]) -> None:
    with pytest.raises(sttbatch.SttbatchError, match="no setting 'langauge'"):
        sttbatch.Client(langauge="ru")
    with pytest.raises(sttbatch.SttbatchError, match="nowhere: no such file"):
        list(sttbatch.Client().transcribe("nowhere"))
    assert len(spoken) == len(list(Path("talks").iterdir()))


def _raise(error: type[BaseException]) -> None:
    raise error


@pytest.fixture
def lecture(spoken: dict[str, str], cloudru: CloudRu) -> sttbatch.Client:
    """`talks/a.wav` is stored, `lecture.wav` is of 30 chunks, each of which takes a while."""
    make_recording(Path("lecture.wav"), duration_s=300.0, first_word=500)
    client = sttbatch.Client(concurrency=1, chunk_duration=10)
    assert [result.outcome for result in client.transcribe("talks/a.wav")] == ["done"]
    cloudru.faults = lambda _: Hang(0.5)
    return client


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "leave",
    [
        lambda: None,
        pytest.param(lambda: _raise(ZeroDivisionError), marks=pytest.mark.slow),
        pytest.param(_interrupt, marks=pytest.mark.slow),
    ],
)
def test_leaving_the_loop_begins_nothing_new_in_a_long_recording(
    lecture: sttbatch.Client, cloudru: CloudRu, leave: Callable[[], None]
) -> None:
    try:
        for _ in lecture.transcribe("talks/a.wav", "lecture.wav"):
            cloudru.wait_for(lambda seen: len(seen.received) == 2)
            leave()
            break
    except (ZeroDivisionError, KeyboardInterrupt):
        pass
    assert [post.status for post in cloudru.received] == [200, 200]


def test_an_interrupt_between_two_results_begins_nothing_new(
    lecture: sttbatch.Client, cloudru: CloudRu
) -> None:
    def interrupt() -> None:
        cloudru.wait_for(lambda seen: len(seen.received) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(lecture.transcribe("lecture.wav"))
    thread.join()
    assert [post.status for post in cloudru.received] == [200, 200]


async def _first(client: sttbatch.Client, cloudru: CloudRu) -> None:
    async for _ in client.transcribe("talks/a.wav", "lecture.wav"):
        cloudru.wait_for(lambda seen: len(seen.received) == 2)
        break


async def _cancelled(client: sttbatch.Client, cloudru: CloudRu) -> None:
    async def read() -> None:
        async for _ in client.transcribe("lecture.wav"):
            pass

    reading = asyncio.create_task(read())
    await asyncio.to_thread(cloudru.wait_for, lambda seen: len(seen.received) == 2)
    for _ in range(3):
        reading.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("leave", [pytest.param(_first, marks=pytest.mark.slow), _cancelled])
def test_the_end_of_the_event_loop_stores_what_is_in_flight(
    lecture: sttbatch.Client, cloudru: CloudRu, leave: Callable[..., Any]
) -> None:
    asyncio.run(leave(lecture, cloudru))
    cloudru.wait_for(lambda seen: all(post.over for post in seen.received))
    assert [(post.status, post.client_left) for post in cloudru.received] == [(200, False)] * 2
    cloudru.faults = None
    assert [result.outcome for result in lecture.transcribe("lecture.wav")] == ["done"]
    assert len({post.file_sha256 for post in cloudru.received}) == len(cloudru.received)


_SCRIPTS = {
    "for": "results = iter(transcription)\nnext(results)",
    "async for": """
import asyncio
async def first():
    async for _ in transcription:
        os.read(0, 1)
        break
asyncio.run(first())""",
}


@pytest.mark.parametrize("way", ["async for", pytest.param("for", marks=pytest.mark.slow)])
def test_the_end_of_the_process_stores_what_is_in_flight(
    lecture: sttbatch.Client, cloudru: CloudRu, way: str
) -> None:
    script = f"""
import os, sttbatch
client = sttbatch.Client(concurrency=1, chunk_duration=10)
transcription = client.transcribe("talks/a.wav", "lecture.wav")
{_SCRIPTS[way]}
os.read(0, 1)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    cloudru.wait_for(lambda seen: len(seen.received) == 2, 30.0)
    process.communicate(b"go")
    assert process.returncode == 0
    assert [(post.status, post.client_left) for post in cloudru.received] == [(200, False)] * 2


def test_jobs_stats_and_forecasts_in_a_running_loop(spoken: dict[str, str]) -> None:
    async def notebook() -> None:
        client = sttbatch.Client()
        (first,) = client.transcribe("talks/a.wav")
        assert [job.spec.title for job in client.jobs().get()] == ["talks/a.wav"]
        assert client.stats().get().requests.cost == (await client.stats()).requests.cost > 0
        forecast = client.transcribe("talks").forecast().get()
        chunks = {each.display_path: each.chunks for each in forecast.recordings}
        assert chunks == {"talks/a.wav": 0, "talks/b.wav": 1, "talks/c.wav": 1}
        assert first.text == spoken["a.wav"]

    asyncio.run(notebook())


def test_paths_are_given_one_by_one_or_as_an_iterable(spoken: dict[str, str]) -> None:
    client = sttbatch.Client(output_dir=Path("out"), data_dir=Path("other"))
    paths = [Path("talks", name) for name in spoken]
    for given in ([paths[0], str(paths[1]), paths[2]], [paths]):
        results = list(client.transcribe(*given))
        assert {result.path for result in results} == set(paths)
    transcription = client.transcribe(path for path in paths)
    assert len(list(transcription)) == len(list(transcription)) == len(paths)
    assert Path("out/a.txt").is_file()
    assert Path("other/ledger.db").is_file()
    with pytest.raises(sttbatch.SttbatchError, match="at least one recording or folder"):
        client.transcribe([])


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_cost": float("nan")}, "must be 0 or more"), ({"priority": "top"}, "not 'top'")],
)
def test_a_wrong_option_is_said_at_once(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(sttbatch.SttbatchError, match=reason):
        sttbatch.Client().transcribe("talks", **options)


def test_options_are_those_of_the_command_line(spoken: dict[str, str], cloudru: CloudRu) -> None:
    Path("talks/broken.wav").write_bytes(b"RIFF")
    client = sttbatch.Client()
    results = list(client.transcribe("talks", fail_fast=True, no_wait=True, priority="high"))
    assert {result.outcome for result in results} == {"failed", "left"}
    assert sttbatch.Outcome.FAILED in {result.outcome for result in results}
    assert cloudru.received == []


def test_outputs_that_were_edited_are_named(
    spoken: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    client = sttbatch.Client(formats=["txt"])
    (written,) = client.transcribe("talks/a.wav")
    assert (written.outputs, written.kept) == ((Path("talks/a.txt"),), ())
    Path("talks/a.txt").write_text("mine")
    (kept,) = client.transcribe("talks/a.wav")
    assert (kept.outcome, kept.outputs, kept.kept) == ("done", (), (Path("talks/a.txt"),))
    assert caplog.records == []


def test_warnings_are_logged(spoken: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    Path("data/metrics.db").mkdir(parents=True)
    list(sttbatch.Client().transcribe("talks/a.wav"))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sttbatch", "WARNING")
    assert record.message.startswith("no metrics of this run are kept")


def test_the_callers_loop_runs_while_the_ledger_is_locked(spoken: dict[str, str]) -> None:
    list(sttbatch.Client().transcribe("talks/a.wav"))
    lock = (Path(os.environ["STTBATCH_DATA_DIR"]) / "ledger.lock").open("rb+")
    fcntl.flock(lock, fcntl.LOCK_EX)

    async def unlock_meanwhile(work: Callable[[], Any]) -> Any:
        working = asyncio.ensure_future(work())
        await asyncio.wait([working], timeout=0.3)
        assert not working.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        result = await working
        fcntl.flock(lock, fcntl.LOCK_EX)
        return result

    async def read() -> list[str]:
        return [result.text async for result in sttbatch.Client().transcribe("talks/a.wav")]

    async def jobs() -> list[Any]:
        return await sttbatch.Client().jobs()

    async def both() -> None:
        assert await unlock_meanwhile(read) == [spoken["a.wav"]]
        assert len(await unlock_meanwhile(jobs)) == 1

    asyncio.run(asyncio.wait_for(both(), 60.0))
    lock.close()


@pytest.mark.slow
def test_results_that_nobody_reads_do_not_pile_up(
    spoken: dict[str, str], cloudru: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RESULTS_AHEAD", 2)
    count = 20
    Path("many").mkdir()
    for number in range(count):
        make_recording(Path(f"many/{number}.wav"), duration_s=1.5, first_word=300 + 5 * number)
    results = iter(sttbatch.Client(concurrency=1).transcribe("many"))
    next(results)
    with pytest.raises(TimeoutError):
        cloudru.wait_for(lambda seen: len(seen.received) > count * 3 // 4, 3.0)
    assert len(list(results)) == count - 1


def test_a_recording_of_a_bucket_has_its_address(
    spoken: dict[str, str], shared_objects: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in shared_objects.environment.items():
        monkeypatch.setenv(name, value)
    with shared_objects.client() as bucket:
        bucket.create_bucket(Bucket="of-the-client")
        bucket.put_object(
            Bucket="of-the-client", Key="x//a.wav", Body=Path("talks/a.wav").read_bytes()
        )
        bucket.put_object(Bucket="of-the-client", Key="x//a.txt", Body=b"theirs")
    client = sttbatch.Client(formats=["txt", "json"])
    (found,) = client.transcribe("s3://of-the-client/x//a.wav")
    assert found.text == spoken["a.wav"]
    assert str(found.path) == "s3://of-the-client/x//a.wav"
    assert list(map(str, found.outputs)) == ["s3://of-the-client/x//a.json"]
    assert list(map(str, found.kept)) == ["s3://of-the-client/x//a.txt"]
