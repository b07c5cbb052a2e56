"""Cut one recording with pydub alone, as its documentation shows: what prepare.py measures.

Usage: ``python benchmarks/cut_with_pydub.py RECORDING FOLDER SECONDS``; prints how many slices.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydub import AudioSegment


def cut(path: Path, folder: Path, slice_ms: int) -> int:
    """Decode all of `path` and write slices of it; how many.

    As wav, which pydub writes itself: another format would start an encoder for each slice.
    """
    sound = AudioSegment.from_file(str(path)).set_frame_rate(16_000).set_channels(1)
    starts = range(0, len(sound), slice_ms)
    for number, start in enumerate(starts):
        name = folder / f"{number:04}.wav"
        sound[start : start + slice_ms].export(str(name), format="wav").close()
    return len(starts)


if __name__ == "__main__":
    print(cut(Path(sys.argv[1]), Path(sys.argv[2]), 1000 * int(sys.argv[3])))
