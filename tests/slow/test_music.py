"""Russian speech and music, heard by a server that writes text over music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cloudru import CloudRu
from tests.shell import Shell, load
from tests.speech import RATE_HZ, Samples, melody, noise, write

from . import russian

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAUSE = np.zeros(RATE_HZ // 2)
MUSIC_S = 20.0
BEFORE = "Сегодня мы обсуждаем сроки договора. Письмо пришло утром. Мы читали за столом."
AFTER = "Потом дети пошли в школу. Вечером будет сильный ветер."
THANKS = "Спасибо за просмотр."


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    russian.require()
    return tmp_path_factory.mktemp("whisper-base")


@pytest.mark.parametrize(
    ("after", "heard"),
    [(AFTER, "Потом дети пошли в школу."), (THANKS, THANKS)],
    ids=["speech", "a line that is often invented, spoken"],
)
def test_speech_around_music_is_all_there_and_sent_once(
    after: str, heard: str, weights: Path, home: Path, tmp_path: Path
) -> None:
    before, music = russian.say(BEFORE), melody(MUSIC_S)
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    write(recordings / "talk.wav", before, PAUSE, music, PAUSE, russian.say(after))
    server = russian.WhisperServer(weights)
    with CloudRu(keep_bodies=True, faults=server) as endpoint:
        shell = Shell(home, endpoint)
        result = shell.transcribe(recordings, "-f", "json", "--language", "ru")
        again = shell.transcribe(recordings, "-f", "json", "--language", "ru")
    assert (result.code, again.code) == (0, 0), result.err
    (answered,) = server.answered
    begin_s = len(before) / RATE_HZ + 1.0
    spoken = [
        text
        for start_s, end_s, text in answered
        if start_s < begin_s or end_s > begin_s + MUSIC_S + 1.0
    ]
    document = load(recordings / "talk.json")
    assert document["text"] == " ".join(spoken)
    assert heard in document["text"]
    assert {gap["reason"] for gap in document["gaps"]} <= {"no_speech"}


@pytest.mark.parametrize(
    "sound", [melody(40.0), noise(40.0, 0.01)], ids=["melody", "noise of -40 dBFS"]
)
def test_what_is_written_over_music_alone_is_left_out(
    sound: Samples, weights: Path, home: Path, tmp_path: Path
) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    write(recordings / "music.wav", sound)
    server = russian.WhisperServer(weights)
    with CloudRu(keep_bodies=True, faults=server) as endpoint:
        result = Shell(home, endpoint).transcribe(recordings, "-f", "json", "--language", "ru")
    document = load(recordings / "music.json")
    assert (result.code, document["text"]) == (0, ""), result.err
    invented = [text for answer in server.answered for _, _, text in answer]
    assert [each["text"] for each in document.get("dropped", [])] == invented
