"""Files made to cost far more than they weigh, or to have others opened: refused unsent."""

from __future__ import annotations

import io
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from sttbatch.core.errors import MediaError
from sttbatch.core.models import UploadCodec
from sttbatch.processing.media import limits
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.limits import MAX_DURATION_S, max_decoded_bytes
from sttbatch.processing.media.track import Track
from tests.cloudru import make_recording
from tests.processing.conftest import Record
from tests.shell import Shell

from .cutting import cut, plan_for
from .test_odd_recordings import shifted


def wav(sample_rate: int, channels: int, size: int = 100_000) -> bytes:
    rate = sample_rate * channels * 2 % (1 << 32)
    header = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, channels, sample_rate, rate,
        channels * 2, 16, b"data", size,
    )  # fmt: skip
    return header + bytes(size)


def flac_of_100_years() -> bytes:
    """A kilobyte whose header says that it holds 2^36 - 1 samples."""
    target = io.BytesIO()
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16_000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame(format="s16", layout="mono", samples=4096)
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(target.getvalue())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    return bytes(data)


# Name, content (which may name the bait), reason.
Bomb = tuple[str, Callable[[Path], bytes], str]
BOMBS: list[Bomb] = [
    ("1-hz.wav", lambda _: wav(1, 1), "its sample rate is 1 Hz; 4000 to 384000 Hz are read"),
    ("0-hz.wav", lambda _: wav(0, 1), "its sample rate is 0 Hz|not a recording"),
    ("gigahertz.wav", lambda _: wav(1 << 30, 1), "its sample rate is 1073741824 Hz"),
    ("255.wav", lambda _: wav(8_000, 255), "it has 255 channels; 1 to 16 are read"),
    ("no-channel.wav", lambda _: wav(8_000, 0), "not a recording|it has 0 channels"),
    ("century.flac", lambda _: flac_of_100_years(), "it says that it lasts 1,193 hours"),
    (
        "playlist.mp3",
        lambda bait: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{bait}\n".encode(),
        "not a recording that can be read",
    ),
    (
        "concat.mp3",
        lambda bait: f"ffconcat version 1.0\nfile '{bait}'\n".encode(),
        "not a recording that can be read",
    ),
    (
        "subfile.mp3",
        lambda bait: f"subfile,,start,0,end,9,,:{bait}".encode(),
        "not a recording that can be read",
    ),
    (
        "movie.mp4",
        lambda bait: b'<?xml version="1.0"?><smil><audio src="%s"/></smil>' % bytes(bait),
        "not a recording that can be read",
    ),
    ("concat:bait.wav|bait.wav", lambda _: b"", "it is empty"),
    ("file:bait.wav", lambda _: b"", "it is empty"),
]


@pytest.fixture
def bombs(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    bait = tmp_path / "bait.wav"
    make_recording(bait, duration_s=5, sample_rate=8_000, channels=1)
    for name, content, _ in BOMBS:
        (folder / name).write_bytes(content(bait))
    return folder


def test_bombs_are_refused_before_anything_is_sent(shell: Shell, bombs: Path) -> None:
    """All of them together in less than two seconds of CPU time beyond what one takes to start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = shell.transcribe(bombs, "concat:bait.wav|bait.wav", cwd=bombs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.code == 1
    assert "Traceback" not in result.err
    for name, _, reason in BOMBS:
        assert re.search(rf"{re.escape(name)}: failed: .*({reason})", result.err), (
            name,
            result.err,
        )
    assert after.ru_utime - before.ru_utime < 4.0
    assert shell.endpoint is not None
    assert shell.endpoint.received == []


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is missing: apt-get install strace"
)
def test_bombs_have_no_other_file_opened(shell: Shell, bombs: Path, tmp_path: Path) -> None:
    log = tmp_path / "strace.log"
    command = [sys.executable, "-m", "sttbatch", "transcribe", str(bombs)]
    strace = [
        "strace",
        "-f",
        "-s",
        "500",
        "-e",
        "trace=open,openat,openat2,connect",
        "-o",
        str(log),
    ]
    done = subprocess.run(
        [*strace, *command], env=shell.environment, cwd=bombs, capture_output=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    calls = log.read_text("utf-8", "replace")
    assert "playlist.mp3" in calls
    opened = re.findall(r'open(?:at)?\([^"\n]*"([^"\n]*bait\.wav)"', calls)
    assert {Path(path).name for path in opened} <= {name for name, _, _ in BOMBS}
    assert "AF_INET" not in calls


def test_timestamps_that_go_on_for_ever(record: Record) -> None:
    """The header promises nothing; the jump comes once chunks are being cut."""
    path, _ = record("aac.m4a", silences=((3.0, 1.0), (9.0, 1.0)))
    data = shifted(path, "matroska", ((9.9, MAX_DURATION_S),))
    plan = plan_for(4.0, codec=UploadCodec.FLAC)
    with pytest.raises(MediaError, match=r"100 hours; up to 100 are read"):
        cut(data, plan)


@pytest.mark.parametrize("name", ["flac.flac", "cbr.mp3"])
def test_what_swells_when_it_is_decoded(
    name: str, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = record(name)
    monkeypatch.setattr(limits, "max_decoded_bytes", lambda size: size // 2)
    with pytest.raises(MediaError, match=r"it would decode to over 20,000 times its size"):
        cut(path, plan_for(4.0, codec=UploadCodec.FLAC))


def test_an_hour_of_silence_is_no_bomb() -> None:
    """14 KB of FLAC, 115 MB decoded."""
    target = io.BytesIO()
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16_000, options={"frame_size": "65535"})
        stream.codec_context.layout = "mono"
        for number in range(878):
            frame = av.AudioFrame(format="s16", layout="mono", samples=65_535)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 16_000, 65_535 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = target.getvalue()
    assert len(data) < 30_000
    with Track(Demuxer(io.BytesIO(data))) as track:
        found = track.audio_file(duration_is_estimate=False)
    assert found.duration_s == pytest.approx(3596, abs=5)
    assert max_decoded_bytes(len(data)) > found.duration_s * 32_000
