"""A real Prometheus over workers, and a file that an exporter serves, as node_exporter would."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["{target}"]}}]
  - job_name: sttbatch
    static_configs: [{{targets: {workers}}}]
"""
PATIENCE_S = 60.0


class Exporter(ThreadingHTTPServer):
    """Serves `path` as it is at the time."""

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.path = path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        try:
            body = self.server.path.read_bytes()
        except FileNotFoundError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"
        self.receiver = f"{self._base}/write"
        # The proxy of the environment is not asked for what is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, **fields: str) -> Any:
        with self._opener.open(f"{self._base}/{path}?{urllib.parse.urlencode(fields)}") as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Each result's labels in `metric`, and (time, text) in `value`."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def is_ready(self) -> bool:
        return self.query("vector(1)") != []


def wait_until(met: Callable[[], bool], lacking: Callable[[], object] = str) -> None:
    """Ask until it is; who cannot be reached yet has not met it. `lacking` is what is not."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if met():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, f"Prometheus never came so far: {lacking()}"
        time.sleep(0.05)


@contextmanager
def prometheus(
    folder: Path, rules: Path, served: Path, workers: Sequence[str]
) -> Iterator[Prometheus]:
    """Running, with all its data in `folder`; `workers` are addresses that it scrapes too."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with Exporter(served) as exporter:
        thread = threading.Thread(target=exporter.serve_forever, args=(0.02,))
        thread.start()
        config = folder / "prometheus.yml"
        config.write_text(
            CONFIG.format(rules=rules, target=exporter.address, workers=json.dumps(workers))
        )
        command = [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
            "--web.enable-remote-write-receiver",
        ]  # fmt: skip
        log = folder / "prometheus.log"
        with log.open("wb") as written, subprocess.Popen(command, stderr=written) as process:
            try:
                server = Prometheus(port)
                wait_until(server.is_ready)
                yield server
            finally:
                # Its data is of no use to anybody: no reason to have it written in order.
                process.kill()
                process.wait(timeout=30)
                exporter.shutdown()
                thread.join()
        assert log.read_text() == ""
