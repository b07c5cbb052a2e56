"""Run the test endpoint by hand: `python -m tests.cloudru --latency 0.3`."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from .log import Received
from .server import CloudRu


def main() -> None:
    """Serve until interrupted, writing one JSON line for each request that is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.cloudru", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S")
    parser.add_argument("--latency-per-second", type=float, default=0.0, metavar="S",
                        help="for each second of audio")  # fmt: skip
    parser.add_argument("--http1", action="store_true", help="no HTTP/2")
    parser.add_argument("--plain", action="store_true", help="no TLS, and so HTTP/1.1")
    parser.add_argument("--max-concurrent", type=int)
    parser.add_argument("--rate-per-minute", type=int)
    parser.add_argument("--log", type=Path, metavar="FILE", help="one JSON line for each request")
    args = parser.parse_args()

    endpoint = CloudRu(
        port=args.port,
        tls=not args.plain,
        http_versions=("http/1.1",) if args.http1 else ("h2", "http/1.1"),
        latency_s=args.latency,
        latency_per_audio_s=args.latency_per_second,
        max_concurrent=args.max_concurrent,
        rate_per_minute=args.rate_per_minute,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with endpoint:
        print(f"base URL  {endpoint.base_url}")
        print(f"CA file   {endpoint.ca_file}")
        print(f"key       {endpoint.key}", flush=True)
        if args.log is None:
            stop.wait()
            return
        with args.log.open("a", encoding="utf-8") as log:
            _write_log(endpoint, log, stop)


def _write_log(endpoint: CloudRu, log: TextIO, stop: threading.Event) -> None:
    written: set[int] = set()

    def finished() -> list[Received]:
        return [post for post in endpoint.received if post.over and post.number not in written]

    while not stop.is_set():
        # Returns now and then, too, to see whether it was told to stop.
        endpoint.log.wait_for(lambda: bool(finished()), 0.5)
        for post in finished():
            record = asdict(post)
            del record["file"]
            print(json.dumps(record), file=log, flush=True)
            written.add(post.number)


if __name__ == "__main__":
    main()
