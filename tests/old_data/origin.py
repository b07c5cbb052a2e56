"""An address that is the same on every machine, and the test endpoint behind it.

The origin of the base URL (scheme, host, port) is part of every cache key, and the test endpoint's
port is another one each time. A fixed port could be taken, by another test or by another run on
the same machine. So the address is fixed, `https://localhost`, and its port is another one for the
commands that are run with these variables: nothing but the name is shared, and any number of tests
may run side by side.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cloudru import CloudRu

BASE_URL = "https://localhost/v1"

# Python imports a module of this name before anything else.
_SITE = """
import socket

connect = socket.socket.connect

def to_the_endpoint(self, address):
    return connect(self, (address[0], {port}, *address[2:]) if address[1:2] == (443,) else address)

socket.socket.connect = to_the_endpoint
"""


@contextlib.contextmanager
def fixed_origin(endpoint: CloudRu) -> Iterator[dict[str, str]]:
    """The variables with which a command finds `endpoint` at `BASE_URL`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_SITE.format(port=endpoint.port))
        yield {"STTBATCH_BASE_URL": BASE_URL, "PYTHONPATH": folder}
