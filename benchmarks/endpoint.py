"""A stand-in for Cloud.ru's endpoint that takes hardly any CPU: it does not decode what it hears.

    python benchmarks/endpoint.py --latency 0.3 --latency-per-second 0.004

The server is that of the tests (TLS, HTTP/2 and HTTP/1.1, limits, log). Seconds of audio are read
from the upload's header, and the answer has one word for each 20 s of it. The first line on stdout
is a JSON object with `base_url`, `ca_file` and `key`. Each line on stdin is answered with one JSON
object: what has come in since the last time, and the CPU seconds that this took. It ends with
stdin.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

# Run as a script, only this folder is on the path; the server is beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import av

from tests.cloudru import CloudRu, Heard, HeardWord, NotAudioError, Received

WORD_S = 0.4
"""As people speak, over all of it, so that an audit has nothing to doubt."""

TOLD = (
    "number", "arrived_at_s", "body_read_at_s", "answered_at_s", "open_in_all", "connection",
    "http_version", "body_bytes", "audio_s", "status", "attempt", "prompt",
)  # fmt: skip


def hear_header(data: bytes) -> Heard:
    """Its declared length, which is exact for constant bit rates, and words over all of it.

    Raises:
        NotAudioError: it has no header that says so.
    """
    try:
        with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
            duration_s = (container.duration or 0) / av.time_base
    except av.FFmpegError as error:
        raise NotAudioError(f"no header: {error.strerror}") from error
    if not duration_s:
        raise NotAudioError("the header does not say how long it lasts")
    count = max(1, round(duration_s / WORD_S))
    edges = [duration_s * k / count for k in range(count + 1)]
    words = (
        HeardWord(f"{k:04x}", start_s, end_s) for k, (start_s, end_s) in enumerate(pairwise(edges))
    )
    return Heard(tuple(words), duration_s)


def hear_nothing(data: bytes) -> Heard:
    """As `hear_header`, of music: without words."""
    return Heard((), hear_header(data).duration_s)


@dataclass(kw_only=True, eq=False)
class Crowded(CloudRu):
    """Takes twice as long for what comes while more than `slow_above` requests are served."""

    slow_above: int | None = None

    async def _wait(self, record: Received) -> None:
        begun_s = time.monotonic()
        crowded = self.slow_above is not None and self._serving > self.slow_above
        await super()._wait(record)
        if crowded:
            await asyncio.sleep(time.monotonic() - begun_s)


def report(endpoint: CloudRu, since: int, cpu_s: float) -> dict[str, Any]:
    requests = [{name: getattr(post, name) for name in TOLD} for post in endpoint.received[since:]]
    return {
        "requests": requests,
        "cpu_s": time.process_time() - cpu_s,
        "connections": endpoint.connections_opened,
        "errors": endpoint.errors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--latency", type=float, default=0.0, metavar="S")
    parser.add_argument("--latency-per-second", type=float, default=0.0, metavar="S",
                        help="for each second of audio")  # fmt: skip
    parser.add_argument("--max-concurrent", type=int, help="429 above so many at once")
    parser.add_argument("--rate-per-minute", type=int, help="429 above so many in any 60 s")
    parser.add_argument("--slow-above", type=int, help="twice the latency above so many at once")
    parser.add_argument("--wordless", action="store_true", help="answers hold no words")
    parser.add_argument("--http1", action="store_true", help="offers no HTTP/2")
    options = parser.parse_args()
    with Crowded(
        recognise=hear_nothing if options.wordless else hear_header,
        latency_s=options.latency,
        latency_per_audio_s=options.latency_per_second,
        max_concurrent=options.max_concurrent,
        rate_per_minute=options.rate_per_minute,
        slow_above=options.slow_above,
        http_versions=("http/1.1",) if options.http1 else ("h2", "http/1.1"),
    ) as endpoint:
        place = {"base_url": endpoint.base_url, "ca_file": str(endpoint.ca_file)}
        print(json.dumps(place | {"key": endpoint.key}), flush=True)
        told, cpu_s = 0, time.process_time()
        for _ in sys.stdin:
            said = report(endpoint, told, cpu_s)
            told, cpu_s = told + len(said["requests"]), time.process_time()
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
