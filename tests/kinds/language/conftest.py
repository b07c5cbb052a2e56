"""The endpoint, trusted the way users trust one with a certificate of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloudru import CloudRu


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudRu]:
    with CloudRu() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca_file))
        yield running
    assert running.errors == []
