"""Lines that nobody spoke, from the answer to the text, the summary and the statistics."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cloudru import Status, always
from tests.shell import Shell, load
from tests.speech import melody, write

LINE = "Субтитры сделал DimaTorzok"


def test_a_line_over_music_is_left_out_named_and_counted(shell: Shell, folder: Path) -> None:
    assert shell.endpoint is not None
    folder.mkdir(exist_ok=True)
    write(folder / "music.wav", melody(20.0))
    segment = {"start": 2.0, "end": 14.0, "text": f" {LINE}"}
    answer = Status(200, body={"text": LINE, "segments": [segment]})
    shell.endpoint.faults = always(answer)
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert (folder / "music.txt").read_text().strip() == ""
    (dropped,) = load(folder / "music.json")["dropped"]
    assert (dropped["text"], dropped["evidence"]) == (LINE, ["no_speech", "filler_line"])
    assert "1 line that nobody spoke" in result.summary
    assert json.loads(shell.run("stats", "--json").out)["audit"]["unfounded"] == 1
    assert "1 not spoken" in shell.run("stats").out
    kept = shell.transcribe(folder, "--hallucinations", "keep")
    assert kept.code == 0, kept.err
    assert (folder / "music.txt").read_text().strip() == LINE
    assert len(shell.endpoint.received) == 1
