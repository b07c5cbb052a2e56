"""Every word once, in order, within 30 ms, through TLS and HTTP/2, for every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, load, texts, words_of, worst_offset_s

CHUNKS = 4
WITHIN_S = 0.03

NO_PAUSES = {"word_gap_s": 0.08, "sentence_pause_s": 0.14}

FORMATS: dict[str, dict[str, Any]] = {
    "cbr.mp3": {"bit_rate": 64_000, "sample_rate": 16_000},
    "vbr.mp3": {"vbr_quality": 5, "sample_rate": 16_000, "channels": 1},
    "aac.m4a": {"bit_rate": 48_000, "sample_rate": 16_000, "channels": 1},
    "opus.ogg": {"bit_rate": 48_000, "channels": 1},
    "lossless.flac": {"sample_rate": 16_000},
    "plain.wav": {"sample_rate": 16_000},
    "browser.webm": {"bit_rate": 48_000, "channels": 1},
    "film.mp4": {"bit_rate": 48_000, "sample_rate": 16_000, "channels": 1, "video": True},
}


def recordings(
    folder: Path, duration_s: float, pauses: dict[str, Any]
) -> dict[str, list[HeardWord]]:
    folder.mkdir()
    return {
        # Different words in each, or the film's sound would be found in the cache.
        name: make_recording(
            folder / name, duration_s=duration_s, first_word=2000 * index, **options, **pauses
        )
        for index, (name, options) in enumerate(FORMATS.items())
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("duration_s", "pauses"),
    [
        pytest.param(40, {}, id="less than a minute"),
        pytest.param(360, {}, id="six minutes"),
        pytest.param(360, NO_PAUSES, id="no pause"),
    ],
)
def test_every_word_once_within_30_ms(
    tmp_path: Path, shell: Shell, duration_s: float, pauses: dict[str, Any]
) -> None:
    truth = recordings(tmp_path / "talks", duration_s, pauses)
    chunk_s = str(duration_s / CHUNKS)
    result = shell.transcribe(tmp_path / "talks", "--chunk-duration", chunk_s, "--words")
    assert result.code == 0, result.err
    for name, words in truth.items():
        output = (tmp_path / "talks" / name).with_suffix(".json")
        assert words_of(output) == texts(words), name
        assert worst_offset_s(output, words) <= WITHIN_S, name
        assert load(output)["gaps"] == []
        assert CHUNKS <= len(load(output)["chunks"]) <= CHUNKS + 2
    assert shell.endpoint is not None
    posts = shell.endpoint.received
    assert {post.http_version for post in posts} == {"2"}
    assert max(post.open_on_connection for post in posts) == 1
    assert len(posts) == sum(
        len(load((tmp_path / "talks" / name).with_suffix(".json"))["chunks"]) for name in truth
    )
