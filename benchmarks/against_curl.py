"""One hour of mp3 through sttbatch, beside a shell that cuts it with ffmpeg and sends it with curl.

    python benchmarks/against_curl.py [--minutes 60] [--runs 5]

The shell: ``ffmpeg -c copy -f segment -segment_time 301``, then ``xargs -P4 curl --http2`` with the
form fields that sttbatch sends: nothing is cut in silence, nothing is stored, nothing is merged.
Whole times of both, in turn, -j 4; medians.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, Run, fresh_state, lower_bound_s, timed, transcribe
from benchmarks.stand_in import StandIn, stand_in

LANES = 4
LATENCY_S, PER_AUDIO_S = 0.3, 0.004
SCRIPT = """
set -e
ffmpeg -v error -i "$RECORDING" -c copy -f segment -segment_time 301 %04d.mp3
ls ./*.mp3 | xargs -P4 -I{} curl --http2 --silent --fail --cacert "$CA_FILE" \
    -H "Authorization: Bearer $KEY" -o {}.json \
    -F model=openai/whisper-large-v3 -F response_format=verbose_json \
    -F 'timestamp_granularities[]=word' -F 'timestamp_granularities[]=segment' \
    -F 'file=@{};type=audio/mpeg' "$BASE_URL/audio/transcriptions"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    missing = [name for name in ("ffmpeg", "curl", "xargs") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    with (
        tempfile.TemporaryDirectory(prefix="against-curl-") as temporary,
        stand_in("--latency", LATENCY_S, "--latency-per-second", PER_AUDIO_S) as endpoint,
    ):
        base = Path(temporary)
        recording = base / "talk.mp3"
        duration_s = Phrases().record(recording, 60.0 * options.minutes)
        ours, theirs = [], []
        for _ in range(options.runs):
            ours.append(
                transcribe(endpoint, recording, fresh_state(base), "-j", str(LANES), *UNLIMITED)
            )
            theirs.append(with_curl(endpoint, recording, fresh_state(base).folder))
        bound_s = lower_bound_s([duration_s], LANES, LATENCY_S, PER_AUDIO_S)
        claims = judged(ours, theirs, bound_s)
        print_claims(
            f"{options.minutes} min of mp3, -j {LANES}, medians of {options.runs}, in turn",
            claims,
            endpoint.own_cost,
        )


def with_curl(endpoint: StandIn, recording: Path, folder: Path) -> Run:
    """Both steps, as one shell script."""
    environment = {
        "PATH": os.environ["PATH"],
        "RECORDING": str(recording),
        "CA_FILE": endpoint.ca_file,
        "KEY": endpoint.key,
        "BASE_URL": endpoint.base_url,
    }
    return timed(["sh", "-c", SCRIPT], endpoint, folder, environment)


def judged(ours: list[Run], theirs: list[Run], bound_s: float) -> list[Claim]:
    ours_s, theirs_s = (statistics.median(run.wall_s for run in runs) for runs in (ours, theirs))
    our_cpu_s, their_cpu_s = (
        statistics.median(run.cpu_s for run in runs) for runs in (ours, theirs)
    )
    return [
        Claim("sttbatch / ffmpeg, then curl", ours_s / theirs_s, 0.97,
              f"{ours_s:.2f} s / {theirs_s:.2f} s"),
        Claim("CPU: sttbatch / ffmpeg, then curl", our_cpu_s / their_cpu_s, None,
              f"{our_cpu_s:.2f} s / {their_cpu_s:.2f} s"),
        Claim("sttbatch / lower bound", ours_s / bound_s, None, described(ours[0], bound_s)),
        Claim("ffmpeg, then curl / lower bound", theirs_s / bound_s, None,
              described(theirs[0], bound_s)),
    ]  # fmt: skip


def described(run: Run, bound_s: float) -> str:
    traffic = run.traffic
    protocols = ", ".join(sorted({f"HTTP/{each.http_version}" for each in traffic.requests}))
    return (
        f"bound {bound_s:.2f} s; first run: start-up {run.start_up_s:.2f} s, "
        f"after the last answer {run.ending_s:.2f} s, {len(traffic.requests)} requests over "
        f"{protocols}, {traffic.mean_in_flight():.2f} in flight on average"
    )


if __name__ == "__main__":
    main()
