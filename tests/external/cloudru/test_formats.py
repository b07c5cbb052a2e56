"""Servers that know less than verbose_json are asked for less, step by step, for the whole run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.core.errors import ChunkError, ChunkTooLarge
from sttbatch.core.models import Upload
from tests.cloudru import CloudRu, Status, Style, make_recording

from .lanes import Lanes, all_heard, lanes_to, upload


async def sent(endpoint: CloudRu, count: int = 8, duration_s: float = 20.0) -> Lanes:
    async with lanes_to(endpoint) as lanes:
        await lanes.send_all(count, duration_s=duration_s)
        return lanes


def test_words_and_segments_are_asked_for(endpoint: CloudRu) -> None:
    lanes = asyncio.run(sent(endpoint, 1))
    (post,) = endpoint.received
    assert (post.response_format, post.granularities) == ("verbose_json", ("word", "segment"))
    assert (post.model, post.language, post.filename) == (
        "openai/whisper-large-v3", "en", "0.mp3",
    )  # fmt: skip
    answer = lanes.results[0]
    assert not isinstance(answer, Exception)
    (segment,) = answer.transcription.segments
    assert [word.text for word in segment.words] == ["0000"]


def test_without_words_there_are_segments(endpoint: CloudRu) -> None:
    endpoint.style = Style(refuse_words=True)
    lanes = asyncio.run(sent(endpoint))
    assert lanes.words == all_heard(8)
    assert lanes.engine.timestamps
    assert len(lanes.warnings) == 1
    assert "word times" in lanes.warnings[0]
    # The lanes that had asked already, and nobody later.
    assert sum(post.status == 400 for post in endpoint.received) <= 4


def test_the_full_format_is_requested_again_later(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was upgraded while a process lives on."""
    endpoint.style = Style(refuse_words=True)

    async def upgraded() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            endpoint.style = Style()
            monkeypatch.setattr(lanes.engine._formats, "_simpler_until", 0.0)
            await lanes.send(1)
            return lanes

    lanes = asyncio.run(upgraded())
    assert lanes.words == all_heard(2)
    assert endpoint.received[-1].granularities == ("word", "segment")


def test_without_verbose_json_pieces_are_short(endpoint: CloudRu) -> None:
    """One warning for the two steps; 30 s at most, asked for once or never."""
    endpoint.style = Style(refuse_verbose=True)
    lanes = asyncio.run(sent(endpoint))
    assert lanes.words == all_heard(8)
    assert not lanes.engine.timestamps
    assert len(lanes.warnings) == 1
    assert "continuing with json" in lanes.warnings[0]
    for answer in lanes.results.values():
        assert not isinstance(answer, Exception)
        (segment,) = answer.transcription.segments
        assert (segment.start_s, segment.end_s) == (0, 20)
    before = len(endpoint.received)

    async def long_ones() -> Lanes:
        async with lanes_to(endpoint) as fresh:
            await fresh.send_all(2, duration_s=31)
            asked = len(endpoint.received)
            await fresh.send(7, upload(7, duration_s=31))
            assert len(endpoint.received) == asked
            return fresh

    long = asyncio.run(long_ones())
    for error in long.results.values():
        assert isinstance(error, ChunkTooLarge)
        assert error.max_piece_s == 30
    assert len(endpoint.received) - before <= 4


def test_validation_errors_name_the_format_too(endpoint: CloudRu) -> None:
    """FastAPI answers 422 with where the value stands."""
    body = {"detail": [{"loc": ["body", "response_format"], "msg": "unexpected value"}]}
    endpoint.faults = lambda post: Status(422, body=body) if post.granularities else None
    lanes = asyncio.run(sent(endpoint))
    assert lanes.words == all_heard(8)


def test_a_server_that_refuses_every_format(endpoint: CloudRu) -> None:
    endpoint.faults = lambda _: Status(400, body={"error": "response_format is not supported"})
    lanes = asyncio.run(sent(endpoint, 4))
    assert {type(error) for error in lanes.results.values()} == {ChunkError}
    assert len(endpoint.received) <= 12


def test_a_real_recording_through_tls_and_http2(endpoint: CloudRu, tmp_path: Path) -> None:
    """Each word within 30 ms, whichever way the server words its answer."""
    path = tmp_path / "talk.mp3"
    truth = make_recording(path, duration_s=20)
    data = path.read_bytes()
    whole = Upload("talk.mp3", "audio/mpeg", "mp3", 20.0, len(data), path=str(path))
    styles = [Style(), Style(duration_as_string=True, no_speech_prob=None, usage=True)]

    async def sending(real: CloudRu) -> Lanes:
        async with lanes_to(real) as lanes:
            for number, style in enumerate(styles):
                real.style = style
                await lanes.send(number, whole)
            return lanes

    with CloudRu() as real:
        lanes = asyncio.run(sending(real))
    for answer in lanes.results.values():
        assert not isinstance(answer, Exception)
        words = [word for segment in answer.transcription.segments for word in segment.words]
        assert [word.text for word in words] == [word.text for word in truth]
        assert all(
            abs(heard.start_s - said.start_s) < 0.03 and abs(heard.end_s - said.end_s) < 0.03
            for heard, said in zip(words, truth, strict=True)
        )
        for segment in answer.transcription.segments:
            assert segment.text == " ".join(word.text for word in segment.words)
