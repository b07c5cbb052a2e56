"""Object storage for tests: moto's server as a process on loopback, and its log of requests."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

INSTALLED = importlib.util.find_spec("moto") is not None
SECRET = "a-secret-of-the-bucket"

_SERVER = """
import sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
import threading
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""
_REQUEST = re.compile(r'"([A-Z]+) (\S+) HTTP')


@dataclass
class ObjectServer:
    """A running server; `log` has a line for each request."""

    port: int
    log: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "STTBATCH_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": "a-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def requests(self, method: str, bucket: str) -> list[str]:
        """The paths of requests for objects of a bucket so far."""
        found = _REQUEST.findall(self.log.read_text(errors="replace"))
        return [path for verb, path in found if verb == method and path.startswith(f"/{bucket}/")]

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="a-key",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=config,
        )
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    log = folder / "requests.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, stderr=errors, bufsize=0
        )
    try:
        assert process.stdout is not None
        yield ObjectServer(int(process.stdout.readline()), log)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Proxy:
    """Stands between a client and the server, and answers some requests in its own way.

    Attributes:
        refuses: the status and body with which a request is answered; None: the server answers.
        breaks_after: bytes of an object's content after which the next connections break.
    """

    server: ObjectServer
    refuses: Callable[[str, Message], tuple[int, bytes] | None] = lambda _method, _headers: None
    breaks_after: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    before_put: Callable[[], None] = lambda: None
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def proxy(server: ObjectServer, **behaviour: Any) -> Iterator[Proxy]:
    found = Proxy(server, **behaviour)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(size)
            if self.command == "PUT":
                found.before_put()
            refused = found.refuses(self.command, self.headers)
            if refused is not None:
                self.reply(refused[0], {"Content-Type": "application/xml"}, refused[1])
                return
            there = HTTPConnection("127.0.0.1", server.port)
            sent = {name: value for name, value in self.headers.items() if name != "Expect"}
            there.request(self.command, self.path, body, sent)
            answer = there.getresponse()
            content = answer.read()
            there.close()
            is_object = self.command == "GET" and "list-type" not in self.path
            if is_object:
                found.ranges.append(self.headers.get("Range"))
            headers = dict(answer.getheaders())
            broken = found.breaks_after.pop(0) if is_object and found.breaks_after else None
            self.reply(answer.status, headers, content, broken)

        def reply(
            self, status: int, headers: dict[str, str], body: bytes, broken: int | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(body[:broken])
            self.wfile.flush()
            self.close_connection = broken is not None

        do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - http.server's names

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    found.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
