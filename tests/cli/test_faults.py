"""Whatever the endpoint does, twice to every chunk: all words come back, for few posts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import (
    CloudRu,
    Fault,
    Fin,
    Goaway,
    HeardWord,
    NotJson,
    ResetStream,
    Status,
    Truncated,
    make_recording,
    twice_per_chunk,
)
from tests.shell import Shell, texts, words_of

# What is done with each of them, tests of external/cloudru say.
RETRYABLE = (429, 503)
MOST_POSTS_A_CHUNK = 3.3

FAULTS: dict[str, Fault] = {
    **{str(status): Status(status) for status in RETRYABLE},
    "503 with Retry-After": Status(503, headers={"Retry-After": "0.2"}),
    "GOAWAY": Goaway(after_body=True),
    "GOAWAY while uploading": Goaway(),
    "RST": ResetStream(after_body=True),
    "RST while uploading": ResetStream(),
    "FIN": Fin(after_body=True),
    "FIN while uploading": Fin(),
    "cut short": Truncated(),
    "not JSON": NotJson(),
}

RARE = set(FAULTS) - {"429"}
"""Like others of the list to the command line; the tests of external/cloudru take all."""


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[HeardWord]]:
    path = tmp_path_factory.mktemp("talks") / "talk.mp3"
    return path, make_recording(
        path, duration_s=95, bit_rate=32_000, sample_rate=16_000, channels=1
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in RARE else []) for name in FAULTS],
)
def test_twice_per_chunk_loses_nothing(
    tmp_path: Path, shell: Shell, talk: tuple[Path, list[HeardWord]], name: str
) -> None:
    path, truth = talk
    assert shell.endpoint is not None
    shell.endpoint.faults = twice_per_chunk(FAULTS[name])
    shell.extra["STTBATCH_RETRY_BASE"] = "0.05"
    result = shell.transcribe(path, "-o", tmp_path / "out", "--retries", "3", "-j", "3")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "out" / "talk.json") == texts(truth)
    posts = shell.endpoint.received
    chunks = len({post.file_sha256 for post in posts if post.status == 200})
    assert len(posts) <= MOST_POSTS_A_CHUNK * chunks, result.err


@pytest.mark.parametrize(
    "server",
    [{"http_versions": ("http/1.1",)}, pytest.param({"tls": False}, marks=pytest.mark.slow)],
    ids=["HTTP/1.1", "plain HTTP to this machine"],
)
def test_the_server_chooses_the_protocol(
    tmp_path: Path, home_in_use: Path, talk: tuple[Path, list[HeardWord]], server: dict[str, Any]
) -> None:
    path, truth = talk
    with CloudRu(**server) as endpoint:
        result = Shell(home_in_use, endpoint).transcribe(path, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "out" / "talk.json") == texts(truth)


def test_an_unknown_certificate_is_explained_at_once(
    tmp_path: Path, home_in_use: Path, cloudru: CloudRu, talk: tuple[Path, list[HeardWord]]
) -> None:
    shell = Shell(home_in_use, cloudru, {"SSL_CERT_FILE": ""})
    result = shell.transcribe(talk[0], "-o", tmp_path / "out")
    assert result.code in {1, 3}
    assert "SSL_CERT_FILE" in result.err
    assert cloudru.received == []
