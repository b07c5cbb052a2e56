"""The same packets in another container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av


def remux(path: Path, target: Any, container: str) -> None:
    """Copy the audio of `path` into `target`, a file object that av may write to."""
    with av.open(str(path)) as source, av.open(target, "w", format=container) as output:
        stream = source.streams.audio[0]
        out = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = out
                output.mux(packet)
