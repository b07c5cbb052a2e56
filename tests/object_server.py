"""Object storage for tests: moto's server as a process on loopback, and its log of requests."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
