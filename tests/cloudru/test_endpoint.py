"""The endpoint as real clients see it: answers, refusals, limits, and its log."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from . import CloudRu, Hang, Heard, Style, in_turn, make_recording
from .clients import LARGE, LOST, SMALL, client, hears_two, post


@pytest.mark.parametrize(
    ("tls", "versions", "spoken"),
    [
        (True, ("h2", "http/1.1"), "HTTP/2"),
        pytest.param(True, ("h2",), "HTTP/2", marks=pytest.mark.slow),
        pytest.param(True, ("http/1.1",), "HTTP/1.1", marks=pytest.mark.slow),
        (False, (), "HTTP/1.1"),
    ],
)
def test_a_recording_comes_back_as_its_words(
    tls: bool, versions: tuple[str, ...], spoken: str, tmp_path: Path
) -> None:
    """Over TLS and each HTTP version, with the times of the truth and all fields in the log."""
    path = tmp_path / "talk.mp3"
    truth = make_recording(path, duration_s=40, silences=[(10, 5)])
    with CloudRu(tls=tls, http_versions=versions) as endpoint, client(endpoint) as sender:
        response = post(
            sender, path.read_bytes(), {"Idempotency-Key": "a1"}, language="de", prompt="Tön",
            response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]},
        )  # fmt: skip
        (record,) = endpoint.received
    answer = response.json()
    assert response.http_version == spoken
    assert [word["word"] for word in answer["words"]] == [word.text for word in truth]
    for heard, said in zip(answer["words"], truth, strict=True):
        assert heard["start"] == pytest.approx(said.start_s, abs=0.03)
        assert heard["end"] == pytest.approx(said.end_s, abs=0.03)
    assert answer["duration"] == pytest.approx(40, abs=0.1)
    assert answer["language"] == "de"
    assert "".join(segment["text"] for segment in answer["segments"])[1:] == answer["text"]
    assert all(len(segment["text"].split()) <= 8 for segment in answer["segments"])
    assert record.words == tuple(word.text for word in truth)
    assert (record.prompt, record.filename, record.idempotency_key) == ("Tön", "talk.mp3", "a1")
    assert (record.file_bytes, record.status) == (path.stat().st_size, 200)
    assert (record.granularities, record.authorised) == (("word", "segment"), True)


def test_the_shapes_that_servers_differ_in(endpoint: CloudRu) -> None:
    verbose: dict[str, Any] = {"response_format": "verbose_json"}
    words = verbose | {"timestamp_granularities[]": "word"}
    with client(endpoint) as sender:
        assert post(sender).json() == {"text": "0000 0001"}
        assert post(sender, **verbose).json()["words"] is None
        assert post(sender, response_format="text").text == "0000 0001\n"
        endpoint.style = Style(duration_as_string=True, words_null=True, usage=True)
        assert post(sender, **words).json()["words"] is None
        assert post(sender, **words).json()["duration"] == "1.0"
        assert post(sender).json()["usage"] == {"type": "duration", "seconds": 1}
        endpoint.style = Style(refuse_verbose=True, text_as_object=True)
        assert post(sender, **verbose).json()["error"]["param"] == "response_format"
        assert post(sender, response_format="text").json() == {"text": "0000 0001"}
        endpoint.style = Style(refuse_words=True)
        assert post(sender, **words).json()["error"]["param"] == "timestamp_granularities"
        assert post(sender, **verbose).status_code == 200
        endpoint.style = Style(lose=(0.2, 1.0))
        assert post(sender).json() == {"text": "0000"}
        assert [s["end"] for s in post(sender, **verbose).json()["segments"]] == [0.4]
        endpoint.style = Style(lose=(0.2, 1.1))
        assert post(sender).json() == {"text": "0000 0001"}
        assert post(sender, response_format="srt").status_code == 400


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_recording(path, duration_s=2, video=True)
    with CloudRu(max_body_bytes=500_000) as endpoint, client(endpoint) as sender:
        assert sender.get("models", headers={"Authorization": ""}).status_code == 200
        assert sender.get("nothing").status_code == 404
        assert post(sender, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert post(sender, path.read_bytes()).status_code == 503
        assert post(sender, SMALL).status_code == 400
        assert post(sender, LARGE).status_code == 413
        assert post(sender, model="").json()["error"]["param"] == "model"
        assert sender.post("audio/transcriptions", json={}).status_code == 400
        wrong, film, *_ = endpoint.received
    assert not wrong.authorised
    assert "wrong" not in repr(wrong)
    assert "0000" in film.words


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_a_connection_ends_after_so_many_requests(http2: bool) -> None:
    with (
        CloudRu(recognise=hears_two, max_requests_per_connection=2) as endpoint,
        client(endpoint, http2) as sender,
    ):
        assert post(sender).status_code == 200
        if http2:  # GOAWAY comes while the second uploads, and httpx gives up on it
            with pytest.raises(httpx.HTTPError, match=r"ConnectionTerminated|CLOSED"):
                post(sender, LARGE)
        else:
            assert post(sender, LARGE).headers["connection"] == "close"
        assert post(sender).status_code == 200
        assert [record.connection for record in endpoint.received] == [1, 1, 2]


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_an_idle_connection_is_closed(http2: bool) -> None:
    with (
        CloudRu(recognise=hears_two, close_idle_s=0.05) as endpoint,
        client(endpoint, http2) as sender,
    ):
        assert post(sender).status_code == 200
        endpoint.wait_for(lambda e: e.log.connections_open == 0)
        if http2:  # httpx looks at an idle connection before it uses it on HTTP/1.1 alone
            with pytest.raises((*LOST, httpx.LocalProtocolError)):
                post(sender)
        assert post(sender).status_code == 200
        assert endpoint.connections_opened == 2


def test_limits() -> None:
    """429 above so many at once, and above so many in any window, which then opens again."""
    with CloudRu(recognise=hears_two, max_concurrent=1) as endpoint:
        endpoint.faults = in_turn([Hang()])
        with client(endpoint) as sender, ThreadPoolExecutor(1) as thread:
            hanging = thread.submit(post, sender)
            endpoint.wait_for(lambda e: any(record.fault for record in e.received))
            with client(endpoint) as other:
                assert post(other).status_code == 429
            endpoint.go_away()
            assert hanging.exception() is not None
    with (
        CloudRu(recognise=hears_two, rate_per_minute=2) as endpoint,
        client(endpoint) as sender,
    ):
        assert [post(sender).status_code for _ in range(3)] == [200, 200, 429]
        assert 58 <= int(post(sender).headers["retry-after"]) <= 60


def test_the_log_tells_who_shared_a_connection() -> None:
    """Three streams on one connection, then three connections of one each."""
    release = threading.Event()

    def waits(_: bytes) -> Heard:
        release.wait(60)
        return Heard((), 1.0)

    with CloudRu(recognise=waits) as endpoint, ThreadPoolExecutor(3) as threads:
        with client(endpoint) as sender:
            sender.get("models")  # connects, so that the three do not race for who does
            _at_once(threads, endpoint, release, [sender] * 3)
        assert sorted(record.open_on_connection for record in endpoint.received) == [1, 2, 3]
        assert (endpoint.max_in_flight, endpoint.connections_opened) == (3, 1)
        with client(endpoint) as one, client(endpoint) as two, client(endpoint) as three:
            _at_once(threads, endpoint, release, [one, two, three])
        assert [record.open_on_connection for record in endpoint.received[3:]] == [1, 1, 1]
        assert (endpoint.max_in_flight, endpoint.connections_opened) == (3, 4)


def _at_once(
    threads: ThreadPoolExecutor,
    endpoint: CloudRu,
    release: threading.Event,
    senders: list[httpx.Client],
) -> None:
    release.clear()
    done = [
        # Each file is new: the endpoint listens to one that it knows only once.
        threads.submit(post, sender, bytes([number, len(endpoint.received)]))
        for number, sender in enumerate(senders)
    ]
    endpoint.wait_for(lambda e: e.log.in_flight == len(senders))
    release.set()
    assert [future.result().status_code for future in done] == [200] * len(senders)
    endpoint.wait_for(lambda e: e.log.in_flight == 0)


def test_latency_counts_from_the_end_of_the_body(endpoint: CloudRu) -> None:
    endpoint.latency_s, endpoint.latency_per_audio_s = 0.1, 0.05
    with client(endpoint) as sender:
        post(sender)
    (record,) = endpoint.received
    assert record.body_read_at_s is not None
    assert record.answered_at_s is not None
    assert record.answered_at_s - record.body_read_at_s >= 0.15


def test_waiting_for_what_does_not_come(endpoint: CloudRu) -> None:
    with pytest.raises(TimeoutError, match="0 posts"):
        endpoint.wait_for(lambda e: bool(e.received), timeout_s=0.01)


def test_a_body_of_24_mib_goes_through(endpoint: CloudRu) -> None:
    endpoint.keep_bodies = True
    file = bytes(range(256)) * 4096 * 24
    with client(endpoint) as sender:
        assert post(sender, file).status_code == 200
    assert endpoint.received[0].file == file
