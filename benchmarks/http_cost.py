"""What a request costs over HTTP/2 beside HTTP/1.1: the client's CPU time for the same uploads.

    python benchmarks/http_cost.py [--runs 5] [--requests 500]

The client is that of every run (connections, admission, retries, reading of answers), without
recordings, ledger and outputs: uploads are in memory. Two endpoints, one of which offers no HTTP/2,
take the same requests from ten lanes, in turn; medians. Connections, with TLS, are opened before
the clock starts.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
import wave
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.stand_in import StandIn, stand_in
from sttbatch.core.models import Upload
from tests.external.cloudru.lanes import Lanes, lanes_to

LANES = 10
LATENCY_S = 0.02
"""So long that all lanes are in use."""

RATE_HZ = 16_000
SMALL = 1
LARGE = 150
"""Seconds; so long, it has the bytes of a chunk of five minutes of 128 kbit/s mp3."""

REQUESTS_FOR_A_LARGE_ONE = 25
"""Of small uploads; large ones are sent so many times less often."""

VERSIONS = {"HTTP/2": "2", "HTTP/1.1": "1.1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=500, help="of small uploads, in each run")
    options = parser.parse_args()
    sizes = [
        (silence(SMALL), options.requests),
        (silence(LARGE), max(1, options.requests // REQUESTS_FOR_A_LARGE_ONE)),
    ]
    latency = ("--latency", LATENCY_S)
    with stand_in(*latency) as both, stand_in(*latency, "--http1") as plain:
        endpoints = dict(zip(VERSIONS, (both, plain), strict=True))
        claims = []
        for upload, count in sizes:
            found_ms: dict[str, list[float]] = {name: [] for name in endpoints}
            for _ in range(options.runs):
                for name, endpoint in endpoints.items():
                    cpu_s = asyncio.run(sent(endpoint, upload, count))
                    check_version(endpoint, VERSIONS[name])
                    found_ms[name].append(1000 * cpu_s / count)
            claims += compared(upload, {name: median(each) for name, each in found_ms.items()})
        notes = [f"{name}: {endpoint.own_cost}" for name, endpoint in endpoints.items()]
    counts = " and ".join(str(count) for _, count in sizes)
    print_claims(
        f"The client's CPU time of a request, {counts} requests, medians of {options.runs}",
        claims, *notes,
    )  # fmt: skip


def silence(seconds: int) -> Upload:
    """A WAV, which nobody looks at."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE_HZ)
        wav.writeframes(bytes(2 * RATE_HZ * seconds))
    data = file.getvalue()
    return Upload("silence.wav", "audio/wav", "wav", seconds, len(data), data=data)


async def sent(endpoint: StandIn, upload: Upload, count: int) -> float:
    """CPU seconds of this process for so many requests, after a small one in each lane."""
    os.environ["SSL_CERT_FILE"] = endpoint.ca_file
    async with lanes_to(endpoint) as lanes:
        await from_all(lanes, silence(SMALL), LANES)
        begun_s = time.process_time()
        await from_all(lanes, upload, count)
        return time.process_time() - begun_s


async def from_all(lanes: Lanes, upload: Upload, count: int) -> None:
    """Raises: Exception: what was raised instead of an answer."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            answer = await lanes.send(number, upload)
            if isinstance(answer, Exception):
                raise answer

    await asyncio.gather(*(lane() for _ in range(LANES)))


def check_version(endpoint: StandIn, version: str) -> None:
    """What is compared must be what it is called."""
    spoken = {request.http_version for request in endpoint.traffic().requests}
    assert spoken == {version}, spoken


def compared(upload: Upload, ms: dict[str, float]) -> list[Claim]:
    name = f"{upload.size_bytes / 1000:.0f} kB"
    return [
        *(Claim(f"{version}: {name}", each, None, unit="ms") for version, each in ms.items()),
        Claim(f"HTTP/2 / HTTP/1.1: {name}", ms["HTTP/2"] / ms["HTTP/1.1"], None),
    ]


if __name__ == "__main__":
    main()
