"""Recordings and outputs in object storage, as their users meet them."""

from __future__ import annotations

import json
import resource
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.calls import make_call
from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.cloudru.translating import TranslatingModel, translated
from tests.object_server import SECRET, ObjectServer, proxy
from tests.shell import Result, Shell, texts

from .working import until_line, working


@pytest.fixture
def bucket(shared_objects: ObjectServer, client: Any) -> str:
    del shared_objects
    name = f"b-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def client(shared_objects: ObjectServer) -> Iterator[Any]:
    with shared_objects.client() as found:
        yield found


@pytest.fixture
def with_objects(shell: Shell, shared_objects: ObjectServer) -> Shell:
    shell.extra |= shared_objects.environment
    return shell


@pytest.fixture
def talk(tmp_path: Path) -> tuple[bytes, list[HeardWord]]:
    path = tmp_path / "made.wav"
    truth = make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    return path.read_bytes(), truth


def another(tmp_path: Path, number: int) -> tuple[bytes, list[HeardWord]]:
    path = tmp_path / f"made-{number}.wav"
    truth = make_recording(
        path, duration_s=11, sample_rate=8_000, channels=1, first_word=100 * number
    )
    return path.read_bytes(), truth


def read(client: Any, bucket: str, key: str) -> bytes:
    return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())


def words(content: bytes) -> list[str]:
    text: str = json.loads(content)["text"]
    return text.split()


def keys(client: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


def transcribe(shell: Shell, *arguments: str | Path) -> Result:
    result = shell.transcribe(*arguments)
    assert SECRET not in result.out + result.err
    assert "Traceback" not in result.err
    return result


def test_a_watched_prefix_is_listed_again(
    with_objects: Shell, bucket: str, client: Any, talk: tuple[bytes, list[HeardWord]]
) -> None:
    content, truth = talk
    prefix = f"s3://{bucket}/in"
    process = with_objects.start("watch", prefix, "--settle", "0", "--poll", "1")
    try:
        # There is nothing yet, which is no failure.
        until_line(process, "watching")
        client.put_object(Bucket=bucket, Key="in/talk.wav", Body=content)
        assert process.stdout is not None
        assert process.stdout.readline().decode() == f"{prefix}/talk.txt\n"
        assert process.stderr is not None
        assert b"in/talk.wav: transcribed" in process.stderr.readline()
    finally:
        process.kill()
        process.communicate()
    assert words(read(client, bucket, "in/talk.json")) == texts(truth)


def test_recordings_and_outputs_are_objects_and_a_second_run_fetches_nothing(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talks"
    client.put_object(Bucket=bucket, Key="talks/a/talk.wav", Body=talk[0])
    client.put_object(Bucket=bucket, Key="talks/notes.md", Body=b"notes")
    first = transcribe(shell, url)
    assert first.code == 0, first.err
    assert first.out == f"{url}/a/talk.txt\n"
    assert shared_objects.requests("GET", bucket) == [f"/{bucket}/talks/a/talk.wav"]
    found = read(client, bucket, "talks/a/talk.json")
    assert words(found) == texts(talk[1])
    assert json.loads(found)["source"] == f"{url}/a/talk.wav"
    assert read(client, bucket, "talks/a/talk.txt").decode().split() == texts(talk[1])
    sent, got = len(cloudru.received), len(shared_objects.requests("GET", bucket))
    put = len(shared_objects.requests("PUT", bucket))
    again = transcribe(shell, url)
    assert (again.code, again.out) == (0, first.out)
    assert len(cloudru.received) == sent
    assert len(shared_objects.requests("GET", bucket)) == got
    assert len(shared_objects.requests("PUT", bucket)) == put
    assert not list((shell.home / "data" / "spool").glob("run-*"))


def test_outputs_are_mirrored_to_objects_and_to_files(
    with_objects: Shell,
    cloudru: CloudRu,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
    tmp_path: Path,
) -> None:
    shell, odd = with_objects, ("a//b.wav", "../c.wav", "control-\x01.wav", "k" * 1020 + ".wav")
    for key in odd:
        client.put_object(
            Bucket=bucket, Key=key if key.startswith("k") else f"in/{key}", Body=talk[0]
        )
    out = f"s3://{bucket}/out"
    mirrored = transcribe(shell, f"s3://{bucket}/", "-o", out, "-f", "txt")
    assert mirrored.code == 0, mirrored.err
    written = [key for key in keys(client, bucket) if key.startswith("out/")]
    assert {"out/in/a//b.txt", "out/in/../c.txt", "out/in/control-\x01.txt"} < set(written)
    assert len(written) == 4
    local = tmp_path / "x" / "out"
    assert transcribe(shell, f"s3://{bucket}/in", "-o", local, "-f", "txt").code == 0
    files = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.txt"))
    assert files == ["x/out/%2E%2E/c.txt", "x/out/a/%2F/b.txt", "x/out/control-\x01.txt"]
    assert len(cloudru.received) == 1
    (tmp_path / "talks" / "sub").mkdir(parents=True)
    (tmp_path / "talks" / "sub" / "talk.wav").write_bytes(talk[0])
    shell.extra["STTBATCH_PUBLIC_BASE_URL"] = "https://cdn.example/calls/"
    upload = transcribe(shell, tmp_path / "talks", "-o", f"{out}/up")
    assert upload.code == 0, upload.err
    assert upload.out == f"{out}/up/sub/talk.txt\n"
    found = json.loads(read(client, bucket, "out/up/sub/talk.json"))
    assert found["url"] == "https://cdn.example/calls/out/up/sub/talk.json"
    assert len(cloudru.received) == 1


@pytest.mark.slow
def test_what_is_at_the_top_of_a_bucket_is_mirrored_to_the_top(
    with_objects: Shell,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
    tmp_path: Path,
) -> None:
    client.put_object(Bucket=bucket, Key="talk.wav", Body=talk[0])
    for number, named in enumerate(("", "/", "/talk.wav")):
        url, folder, prefix = f"s3://{bucket}{named}", tmp_path / str(number), f"out-{number}"
        local = transcribe(with_objects, url, "-f", "txt", "-o", folder)
        assert (local.code, local.out) == (0, f"{folder}/talk.txt\n"), local.err
        mirrored = transcribe(with_objects, url, "-f", "txt", "-o", f"s3://{bucket}/{prefix}")
        assert (mirrored.code, mirrored.out) == (0, f"s3://{bucket}/{prefix}/talk.txt\n")
    assert set(keys(client, bucket)) == {
        "talk.wav", "out-0/talk.txt", "out-1/talk.txt", "out-2/talk.txt",
    }  # fmt: skip


@pytest.mark.slow
def test_a_bucket_that_could_not_be_listed_is_no_failed_job_once_it_can(
    with_objects: Shell,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, folder = with_objects, f"s3://{bucket}/a"
    client.put_object(Bucket=bucket, Key="a/b/talk.wav", Body=talk[0])
    # Nobody listens on port 1.
    shell.extra["STTBATCH_S3_ENDPOINT"] = "http://127.0.0.1:1"
    for named in (folder, f"s3://{bucket}"):
        away = transcribe(shell, named)
        assert away.code == 1
        assert f"{named}: failed: it cannot be read: the object storage" in away.err
    shell.extra["STTBATCH_S3_ENDPOINT"] = shared_objects.endpoint
    assert transcribe(shell, folder).code == 0
    listed = json.loads(shell.run("jobs", "list", "--json").out)
    assert [each["status"] for each in listed] == ["COMPLETED"]


@pytest.mark.slow
def test_a_recording_that_the_disk_cannot_take_fails_alone(
    with_objects: Shell, client: Any, bucket: str, talk: tuple[bytes, list[HeardWord]]
) -> None:
    shell, limit_bytes = with_objects, 3 << 20
    large = talk[0].ljust(limit_bytes + 100, b"\0")
    client.put_object(Bucket=bucket, Key="large.wav", Body=large)
    client.put_object(Bucket=bucket, Key="small.wav", Body=talk[0])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    full = shell.finish(shell.start("transcribe", f"s3://{bucket}", "-f", "txt", preexec_fn=limit))
    assert full.code == 1
    assert "large.wav: failed: it cannot be fetched to" in full.err
    assert full.out == f"s3://{bucket}/small.txt\n"
    assert transcribe(shell, f"s3://{bucket}", "-f", "txt").code == 0


def test_an_edited_object_is_kept_and_a_changed_recording_is_fetched(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
    tmp_path: Path,
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talk.wav"
    client.put_object(Bucket=bucket, Key="talk.wav", Body=talk[0])
    client.put_object(Bucket=bucket, Key="talk.txt", Body=b"not ours")
    first = transcribe(shell, url)
    assert first.code == 0, first.err
    assert "talk.txt: not replaced" in first.err
    assert read(client, bucket, "talk.txt") == b"not ours"
    client.put_object(Bucket=bucket, Key="talk.json", Body=b"corrected")
    assert f"s3://{bucket}/talk.json: not replaced" in transcribe(shell, url).err
    assert read(client, bucket, "talk.json") == b"corrected"
    assert transcribe(shell, url, "--overwrite").code == 0
    assert words(read(client, bucket, "talk.json")) == texts(talk[1])
    assert len(cloudru.received) == 1
    content, truth = another(tmp_path, 7)
    client.put_object(Bucket=bucket, Key="talk.wav", Body=content)
    changed = transcribe(shell, url)
    assert changed.code == 0, changed.err
    assert words(read(client, bucket, "talk.json")) == texts(truth)
    assert shared_objects.requests("GET", bucket).count(f"/{bucket}/talk.wav") == 2


@pytest.mark.slow
def test_what_the_same_bytes_are_is_adopted(
    with_objects: Shell,
    client: Any,
    shared_objects: ObjectServer,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talk.wav"
    client.put_object(Bucket=bucket, Key="talk.wav", Body=talk[0])
    assert transcribe(shell, url, "-f", "txt").code == 0
    shell.extra["STTBATCH_DATA_DIR"] = str(shell.home / "other")
    put = len(shared_objects.requests("PUT", bucket))
    again = transcribe(shell, url, "-f", "txt")
    assert (again.code, "not replaced" in again.err) == (0, False)
    assert len(shared_objects.requests("PUT", bucket)) == put


@pytest.mark.slow
def test_workers_do_what_is_ordered_of_objects(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    tmp_path: Path,
) -> None:
    shell, truths = with_objects, {}
    for number in range(5):
        content, truths[number] = another(tmp_path, number)
        client.put_object(Bucket=bucket, Key=f"talks//{number}.wav", Body=content)
    with working(shell):
        ordered = shell.run("submit", f"s3://{bucket}/talks", "--wait", "-o", f"s3://{bucket}/out")
        assert ordered.code == 0, ordered.err
    fetched = shared_objects.requests("GET", bucket)
    for number, truth in truths.items():
        # Once to be queued, and once by the worker.
        assert fetched.count(f"/{bucket}/talks//{number}.wav") == 2
        assert words(read(client, bucket, f"out//{number}.json")) == texts(truth)
    assert len(cloudru.received) == 5


@pytest.mark.parametrize("force", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_of_many_recordings_is_fetched_once(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    tmp_path: Path,
    force: bool,
) -> None:
    shell, truths = with_objects, {}
    for number in range(6):
        content, truths[number] = another(tmp_path, number)
        client.put_object(Bucket=bucket, Key=f"{number}.wav", Body=content)
        client.put_object(Bucket=bucket, Key=f"copies/{number}.wav", Body=content)
    client.put_object(Bucket=bucket, Key="broken.wav", Body=b"no sound")
    result = transcribe(shell, f"s3://{bucket}", "-f", "json", *["--force"] * force)
    assert result.code == 1, result.err
    assert f"s3://{bucket}/broken.wav: failed" in result.err
    assert result.summary.startswith("12 recordings done, ")
    for number, truth in truths.items():
        assert words(read(client, bucket, f"{number}.json")) == texts(truth)
        assert words(read(client, bucket, f"copies/{number}.json")) == texts(truth)
    assert len(cloudru.received) == 6
    fetched = [each for each in shared_objects.requests("GET", bucket) if each.endswith(".wav")]
    assert len(fetched) == len(set(fetched)) == 13


def test_a_run_that_is_killed_while_it_writes_leaves_no_half_object(
    with_objects: Shell,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talk.wav"
    client.put_object(Bucket=bucket, Key="talk.wav", Body=talk[0])
    started: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        started[0].kill()
        started[0].wait()

    # It has all of the request by now; whether the store does is decided by the proxy.
    with proxy(
        shared_objects,
        before_put=kill,
        refuses=lambda verb, _: (500, b"") if verb == "PUT" else None,
    ) as between:
        shell.extra["STTBATCH_S3_ENDPOINT"] = between.endpoint
        started.append(shell.start("transcribe", url))
        started[0].communicate()
    assert keys(client, bucket) == ["talk.wav"]
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    shell.extra["STTBATCH_S3_ENDPOINT"] = shared_objects.endpoint
    again = transcribe(shell, url)
    assert again.code == 0, again.err
    assert "0 chunks sent" in again.summary
    assert words(read(client, bucket, "talk.json")) == texts(talk[1])
    assert not list((shell.home / "data" / "spool").glob("run-*"))


def test_what_is_wrong_is_explained(with_objects: Shell, bucket: str, tmp_path: Path) -> None:
    shell = with_objects
    missing = transcribe(shell, "s3://no-such-bucket-here/talks")
    assert (missing.code, "there is no such bucket" in missing.err) == (2, True)
    nothing = transcribe(shell, f"s3://{bucket}/nothing.mp3")
    assert (nothing.code, "there is no such object" in nothing.err) == (2, True)
    shell.extra |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    shell.extra["AWS_EC2_METADATA_DISABLED"] = "true"
    keyless = transcribe(shell, f"s3://{bucket}/talks")
    assert (keyless.code, "AWS_ACCESS_KEY_ID" in keyless.err) == (2, True)
    extra = transcribe(without_the_extra(shell, tmp_path), f"s3://{bucket}/talks")
    assert (extra.code, "pip install 'sttbatch[s3]'" in extra.err) == (2, True)


def without_the_extra(shell: Shell, tmp_path: Path) -> Shell:
    # A module that raises this is as if it was not installed.
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "boto3.py").write_text("raise ModuleNotFoundError(name='boto3')")
    return replace(shell, extra=shell.extra | {"PYTHONPATH": str(hidden)})


@pytest.mark.slow
def test_nothing_is_sent_for_outputs_that_only_others_could_write(
    with_objects: Shell,
    cloudru: CloudRu,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
    tmp_path: Path,
) -> None:
    path, to_bucket = tmp_path / "talk.wav", ("-o", f"s3://{bucket}/out")
    path.write_bytes(talk[0])
    without = without_the_extra(with_objects, tmp_path)
    refused = transcribe(without, path, *to_bucket)
    assert (refused.code, refused.err.count("pip install 'sttbatch[s3]'")) == (2, 1)
    assert with_objects.run("submit", path, *to_bucket).code == 0
    with working(without) as (worker,):
        assert "sttbatch[s3]" in until_line(worker, "it is left for other workers")
    assert cloudru.received == []
    with working(with_objects):
        assert with_objects.run("submit", path, *to_bucket, "--wait").code == 0
    assert words(read(client, bucket, "out/talk.json")) == texts(talk[1])


def test_what_is_missing_of_a_list_fails_alone(
    with_objects: Shell, client: Any, bucket: str, talk: tuple[bytes, list[HeardWord]]
) -> None:
    client.put_object(Bucket=bucket, Key="talk.wav", Body=talk[0])
    named = [f"s3://{bucket}/gone.wav", "s3://no-such-bucket-here/x.wav", f"s3://{bucket}/talk.wav"]
    (with_objects.home / "list").write_text("\n".join(named))
    result = transcribe(with_objects, "--files-from", with_objects.home / "list", "-f", "txt")
    assert (result.code, result.out) == (1, f"s3://{bucket}/talk.txt\n")
    assert f"{named[0]}: failed: there is no such object" in result.err
    assert f"{named[1]}: failed: it cannot be read" in result.err


@pytest.mark.slow
def test_doctor_checks_the_endpoint_and_a_bucket(
    with_objects: Shell, shared_objects: ObjectServer, client: Any, bucket: str
) -> None:
    def found(*arguments: str) -> dict[str, Any]:
        findings = json.loads(with_objects.run("doctor", "--json", *arguments).out)["findings"]
        return {each["name"]: each for each in findings}

    plain = found()
    assert plain["objects"]["ok"], plain["objects"]
    assert shared_objects.endpoint in plain["objects"]["text"]
    assert "bucket" not in plain
    assert "supports conditional writes" in found(f"s3://{bucket}/out")["bucket"]["text"]
    assert keys(client, bucket) == []
    missing = found("s3://no-such-bucket-here/out")["bucket"]
    assert (missing["ok"], "no such bucket" in missing["text"]) == (False, True)

    def refuses(method: str, headers: Message) -> tuple[int, bytes] | None:
        is_conditional = headers.get("If-None-Match") or headers.get("If-Match")
        return (501, b"<Error><Code>NotImplemented</Code></Error>") if is_conditional else None

    with proxy(shared_objects, refuses=refuses) as between:
        with_objects.extra["STTBATCH_S3_ENDPOINT"] = between.endpoint
        assert "without conditional writes" in found(f"s3://{bucket}/out")["bucket"]["text"]
    assert keys(client, bucket) == []


@pytest.mark.slow
def test_what_is_stored_of_an_object_is_loaded_and_removed_without_fetching_it(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/a//talk.wav"
    client.put_object(Bucket=bucket, Key="a//talk.wav", Body=talk[0])
    client.put_object(Bucket=bucket, Key="a//never-fetched.wav", Body=talk[0])
    assert transcribe(shell, url, "-f", "txt").code == 0
    shell.extra["STTBATCH_CACHE_DIR"] = str(shell.home / "another")
    warmed = shell.run("cache", "warm", f"s3://{bucket}/a")
    assert (warmed.code, warmed.out.startswith("2 entries loaded")) == (0, True), warmed
    removed = shell.run("cache", "invalidate", "--file", url)
    assert removed.code == 0, removed.err
    assert "L2 2, L3 2" in removed.out
    assert "outputs 1" in removed.out
    assert "files 1" in removed.out
    assert len(shared_objects.requests("GET", bucket)) == 1
    assert transcribe(shell, url, "-f", "txt").code == 0
    assert len(cloudru.received) == 2


@pytest.mark.slow
def test_an_edited_object_is_found_by_its_text(
    with_objects: Shell,
    client: Any,
    shared_objects: ObjectServer,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, word = with_objects, talk[1][3].text
    client.put_object(Bucket=bucket, Key="a/talk.wav", Body=talk[0])
    assert transcribe(shell, f"s3://{bucket}/a", "-f", "txt,json").code == 0
    looked = len(shared_objects.requests("HEAD", bucket))
    assert shell.run("search", word).code == 0
    text = read(client, bucket, "a/talk.txt").decode()
    client.put_object(Bucket=bucket, Key="a/talk.txt", Body=text.replace(word, "exhibit").encode())
    found = shell.run("search", "exhibits", f"s3://{bucket}/a")
    assert (found.code, f"s3://{bucket}/a/talk.wav:" in found.out) == (0, True), found.err
    assert shell.run("search", word).code == 1
    # Only what had changed was looked at by itself, when it was read: twice.
    assert len(shared_objects.requests("HEAD", bucket)) <= looked + 2
    # Nobody listens on port 1.
    shell.extra["STTBATCH_S3_ENDPOINT"] = "http://127.0.0.1:1"
    assert shell.run("search", "exhibits").code == 0
    shell.extra["STTBATCH_S3_ENDPOINT"] = shared_objects.endpoint
    client.put_object(Bucket=bucket, Key="a/talk.txt", Body=text.encode())
    assert [shell.run("search", each).code for each in ("exhibits", word)] == [1, 0]


@pytest.mark.slow
def test_a_translation_is_an_object_beside_its_recording(
    with_objects: Shell,
    cloudru: CloudRu,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talks/talk.wav"
    client.put_object(Bucket=bucket, Key="talks/talk.wav", Body=talk[0])
    cloudru.chat = TranslatingModel()
    shell.extra |= {"STTBATCH_CHAT_PRICE_IN": "1", "STTBATCH_CHAT_PRICE_OUT": "2"}
    first = shell.run("translate", url, "--to", "en")
    assert first.code == 0, first.err
    assert first.out == f"s3://{bucket}/talks/talk.en.srt\n"
    assert keys(client, bucket) == ["talks/talk.en.srt", "talks/talk.wav"]
    subtitles = read(client, bucket, "talks/talk.en.srt").decode()
    assert [word for word in subtitles.split() if word.endswith("s")] == [
        translated(word) for word in texts(talk[1])
    ]
    sent = len(cloudru.received)
    again = shell.run("translate", f"s3://{bucket}/talks", "--to", "en")
    assert again.code == 0, again.err
    assert "1 from cache" in again.summary
    assert len(cloudru.received) == sent


def test_names_of_speakers_are_in_objects_without_fetching_the_recording(
    with_objects: Shell, shared_objects: ObjectServer, client: Any, bucket: str, tmp_path: Path
) -> None:
    shell, url = with_objects, f"s3://{bucket}/call"
    make_call(tmp_path / "call.wav", {"duration_s": 5.0}, {"duration_s": 5.0})
    body = (tmp_path / "call.wav").read_bytes()
    client.put_object(Bucket=bucket, Key="call.wav", Body=body)
    assert transcribe(shell, f"{url}.wav", "--channels", "split", "-f", "txt,json").code == 0
    got = shared_objects.requests("GET", bucket).count(f"/{bucket}/call.wav")
    result = shell.run("speakers", "rename", f"{url}.txt", "1=Anna")
    assert (result.code, result.out) == (0, f"{url}.json\n{url}.txt\n"), result.err
    assert b"Anna: " in read(client, bucket, "call.txt")
    assert shell.run("speakers", "rename", f"{url}.wav", "1=Maria").code == 0
    assert b"Maria: " in read(client, bucket, "call.txt")
    put = len(shared_objects.requests("PUT", bucket))
    options = ("--channels", "split", "--embed-audio")
    again = transcribe(shell, f"{url}.wav", *options, "-f", "txt,json")
    # Of pages nothing is said where there are none.
    assert (again.code, "html" in again.err) == (0, False), again.err
    assert len(shared_objects.requests("PUT", bucket)) == put
    assert (
        "its html page links to it" in transcribe(shell, f"{url}.wav", *options, "-f", "html").err
    )
    assert shared_objects.requests("GET", bucket).count(f"/{bucket}/call.wav") == got == 1
